"""Addresses of market data, below /api/v1/, and those of UDF, below /udf/."""

from __future__ import annotations

from django.urls import path

from marketdata.api import udf
from marketdata.api.candles import CandlesView
from marketdata.api.orderbook import DepthHistoryView, DepthView, OrderBookView
from marketdata.api.tickers import TickersView, TickerView

urlpatterns = [
    path("orderbook/<str:symbol>", OrderBookView.as_view()),
    path("orderbook/<str:symbol>/depth", DepthView.as_view()),
    path("orderbook/<str:symbol>/history", DepthHistoryView.as_view()),
    path("candles/<str:symbol>", CandlesView.as_view()),
    path("ticker/<str:symbol>", TickerView.as_view()),
    path("tickers", TickersView.as_view()),
]

udf_urlpatterns = [
    path("config", udf.ConfigView.as_view()),
    path("symbols", udf.SymbolsView.as_view()),
    path("search", udf.SearchView.as_view()),
    path("history", udf.HistoryView.as_view()),
    path("time", udf.TimeView.as_view()),
]
