"""Addresses of market data, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from marketdata.api.orderbook import DepthView, OrderBookView

urlpatterns = [
    path("orderbook/<str:symbol>", OrderBookView.as_view()),
    path("orderbook/<str:symbol>/depth", DepthView.as_view()),
]
