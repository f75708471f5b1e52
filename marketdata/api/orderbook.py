"""REST: the order book as it is, and as it was minute by minute, without sign-in."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema

from exchange.base.http.openapi import answers, problems
from exchange.base.http.query_string import Query
from exchange.platform.rest.view import ApiRequest, ApiView, answer
from marketdata.api import parameters
from marketdata.api.bodies import DepthAt, DepthHistory
from marketdata.orderbook import queries
from marketdata.orderbook.depth_snapshots import KEPT, LEVELS, history

DEFAULT_DEPTH = 20

LIMIT = parameters.limit_parameter(DEFAULT_DEPTH, queries.DEPTH, "levels a side")
SNAPSHOTS, MOST_SNAPSHOTS = 60, 500


class OrderBookView(ApiView):
    @extend_schema(
        operation_id="getOrderBook",
        summary=f"The order book, up to {queries.DEPTH} levels a side",
        tags=["market data"],
        parameters=[parameters.SYMBOL],
        responses={200: answers(queries.BookView, "The book"), **problems(400, 404)},
    )
    def get(self, request: ApiRequest, symbol: str) -> HttpResponse:
        if request.META.get("QUERY_STRING"):
            Query(request).check()
        return _answer(symbol, queries.DEPTH)


class DepthView(ApiView):
    @extend_schema(
        operation_id="getDepth",
        summary="The best levels of the order book",
        tags=["market data"],
        parameters=[parameters.SYMBOL, LIMIT],
        responses={200: answers(queries.BookView, "The book, cut"), **problems(400, 404)},
    )
    def get(self, request: ApiRequest, symbol: str) -> HttpResponse:
        query = Query(request)
        limit = query.limit(DEFAULT_DEPTH, queries.DEPTH)
        query.check()
        return _answer(symbol, limit)


class DepthHistoryView(ApiView):
    @extend_schema(
        operation_id="listDepthHistory",
        summary=f"The best {LEVELS} levels a side as they were each minute, for {KEPT.days} days",
        tags=["market data"],
        parameters=[
            parameters.SYMBOL,
            *parameters.SPAN,
            parameters.limit_parameter(SNAPSHOTS, MOST_SNAPSHOTS, "snapshots"),
        ],
        responses={200: answers(DepthHistory, "Books, oldest first"), **problems(400, 404)},
    )
    def get(self, request: ApiRequest, symbol: str) -> HttpResponse:
        """Where there are more than `limit`: the first ones after `from`, or without `from` the last ones."""
        query = Query(request)
        (since, until), limit = parameters.span(query), query.limit(SNAPSHOTS, MOST_SNAPSHOTS)
        query.check()
        market = parameters.market(symbol)
        rows = history(market, since, until, limit)
        items = [DepthAt(row.taken_at, row.sequence, row.bids, row.asks) for row in rows]
        return answer(DepthHistory(market.symbol, items))


def _answer(symbol: str, limit: int) -> HttpResponse:
    body = queries.book(symbol.replace("-", "/"), limit)
    if body is None:
        raise parameters.not_found()
    return HttpResponse(body, content_type="application/json")
