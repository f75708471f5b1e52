"""Parameters that several views of market data read: symbols in paths, intervals, spans of time."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from exchange.base.http.problems import Problem
from exchange.base.http.query_string import Query
from marketdata.models import Interval, markets
from marketdata.models.markets import Market

SYMBOL = OpenApiParameter(
    "symbol",
    str,
    OpenApiParameter.PATH,
    description="BTC-USDT",
    examples=[OpenApiExample("BTC-USDT", value="BTC-USDT")],
)
_INTERVALS = [each.value for each in Interval]
INTERVAL = OpenApiParameter(
    "interval",
    {"type": "string", "enum": _INTERVALS},
    required=True,
    description="aligned to UTC",
    examples=[OpenApiExample("1m", value="1m")],
)
_TIME = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "integer", "minimum": -9_999_999_999, "maximum": 9_999_999_999},
    ]
}
SPAN = [
    OpenApiParameter("from", _TIME, description="at or after: RFC 3339, or seconds since 1970"),
    OpenApiParameter("to", _TIME, description="before; the same"),
]


class Span(NamedTuple):
    since: datetime | None
    until: datetime | None


def not_found() -> Problem:
    return Problem(404, "symbol_not_found", "There is no market with this symbol: see /api/v1/symbols.")


def market(symbol: str) -> Market:
    """Of a path. Raises Problem 404."""
    found = markets.market(symbol)
    if found is None:
        raise not_found()
    return found


def interval(query: Query) -> Interval:
    text = query.text("interval")
    if text in _INTERVALS:
        return Interval(text)
    query.wrong(
        "interval", f"must be one of {', '.join(_INTERVALS)}", "missing" if text is None else "invalid"
    )
    return Interval.M1


def span(query: Query) -> Span:
    found = Span(query.moment("from", epoch=True), query.moment("to", epoch=True))
    if found.since is not None and found.until is not None and found.since >= found.until:
        query.wrong("to", "must be after from")
    return found


def limit_parameter(default: int, most: int, description: str) -> OpenApiParameter:
    return OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": most, "default": default},
        description=description,
    )
