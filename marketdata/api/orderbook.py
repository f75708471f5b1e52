"""REST: the order book, for everybody."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema

from exchange.api import ApiRequest, ApiView
from exchange.errors import Problem
from exchange.query import Query
from exchange.schema import answers, problems
from marketdata import selectors

DEFAULT_DEPTH = 20

SYMBOL = OpenApiParameter(
    "symbol",
    str,
    OpenApiParameter.PATH,
    description="BTC-USDT",
    examples=[OpenApiExample("BTC-USDT", value="BTC-USDT")],
)
LIMIT = OpenApiParameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": selectors.DEPTH, "default": DEFAULT_DEPTH},
    description="levels a side",
)


class OrderBookView(ApiView):
    @extend_schema(
        operation_id="getOrderBook",
        summary=f"The order book, up to {selectors.DEPTH} levels a side",
        tags=["market data"],
        parameters=[SYMBOL],
        responses={200: answers(selectors.BookView, "The book"), **problems(400, 404)},
    )
    def get(self, request: ApiRequest, symbol: str) -> HttpResponse:
        if request.META.get("QUERY_STRING"):
            Query(request).check()
        return _answer(symbol, selectors.DEPTH)


class DepthView(ApiView):
    @extend_schema(
        operation_id="getDepth",
        summary="The best levels of the order book",
        tags=["market data"],
        parameters=[SYMBOL, LIMIT],
        responses={200: answers(selectors.BookView, "The book, cut"), **problems(400, 404)},
    )
    def get(self, request: ApiRequest, symbol: str) -> HttpResponse:
        query = Query(request)
        limit = query.limit(DEFAULT_DEPTH, selectors.DEPTH)
        query.check()
        return _answer(symbol, limit)


def _answer(symbol: str, limit: int) -> HttpResponse:
    body = selectors.book(symbol.replace("-", "/"), limit)
    if body is None:
        raise Problem(404, "symbol_not_found", "There is no market with this symbol: see /api/v1/symbols.")
    return HttpResponse(body, content_type="application/json")
