"""REST: the last 24 hours of one market or of all."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema

from exchange.base.http.openapi import answers, problems
from exchange.base.http.query_string import Query
from exchange.platform.rest.view import ApiRequest, ApiView, answer
from marketdata.api import parameters
from marketdata.api.bodies import Tickers
from marketdata.tickers import selectors
from marketdata.tickers.selectors import TickerView as TickerBody


class TickerView(ApiView):
    @extend_schema(
        operation_id="getTicker",
        summary="The last 24 hours of a market, its best prices and its reference price",
        tags=["market data"],
        parameters=[parameters.SYMBOL],
        responses={200: answers(TickerBody, "The ticker"), **problems(400, 404)},
    )
    def get(self, request: ApiRequest, symbol: str) -> HttpResponse:
        Query(request).check()
        ticker = selectors.tickers().get(symbol.replace("-", "/"))
        if ticker is None:
            raise parameters.not_found()
        return answer(ticker)


class TickersView(ApiView):
    @extend_schema(
        operation_id="listTickers",
        summary="The tickers of all markets",
        tags=["market data"],
        responses={200: answers(Tickers, "All of them, by symbol"), **problems(400)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        Query(request).check()
        return answer(Tickers(list(selectors.tickers().values())))
