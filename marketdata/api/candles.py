"""REST: candles, exact to the moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema

from exchange.base.decimals import plain
from exchange.base.http.openapi import answers, problems
from exchange.base.http.query_string import Query
from exchange.platform.rest.view import ApiRequest, ApiView, answer
from marketdata.api import parameters
from marketdata.api.bodies import CandlePage, CandleView
from marketdata.candles import selectors
from marketdata.candles.intervals import WIDTHS

DEFAULT, MOST = 500, 1000

FILL = OpenApiParameter(
    "fill",
    bool,
    description="true: where nobody traded, repeat the close before, with no volume and no trades",
)


class CandlesView(ApiView):
    @extend_schema(
        operation_id="listCandles",
        summary="Candles of a market",
        tags=["market data"],
        parameters=[
            parameters.SYMBOL,
            parameters.INTERVAL,
            *parameters.SPAN,
            parameters.limit_parameter(DEFAULT, MOST, "candles"),
            FILL,
        ],
        responses={200: answers(CandlePage, "Candles, oldest first"), **problems(400, 404)},
    )
    def get(self, request: ApiRequest, symbol: str) -> HttpResponse:
        """Those that start at `from` or later and before `to`, the running one and its newest trade included.

        Where there are more than `limit`: the first ones after `from`, or without `from` the last ones.
        """
        query = Query(request)
        interval, (since, until) = parameters.interval(query), parameters.span(query)
        limit, fill = query.limit(DEFAULT, MOST), query.flag("fill")
        query.check()
        symbol = symbol.replace("-", "/")
        read = selectors.filled if fill else selectors.candles
        found = read(symbol, interval, since, until, limit)
        if found is None:
            raise parameters.not_found()
        now, width = datetime.now(UTC), WIDTHS[interval]
        return answer(CandlePage(symbol, interval.value, [_view(each, width, now) for each in found]))


def _view(candle: selectors.Candle, width: timedelta, now: datetime) -> CandleView:
    return CandleView(
        start=candle.start,
        open=plain(candle.open),
        high=plain(candle.high),
        low=plain(candle.low),
        close=plain(candle.close),
        volume=plain(candle.volume),
        quote_volume=plain(candle.quote_volume),
        trades=candle.trades,
        closed=candle.start + width <= now,
    )
