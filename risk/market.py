"""All prices of a moment and the closes before it, read by SQL from market data's tables.

A price is the one that market data has last told, ours or the outside market's; where there is none, that of
the last trade. Closes come from candles; an interval without a trade repeats the close before it. They change
once an interval, so a process keeps them that long.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from django.db import connection

from risk.models.positions import Parameters
from risk.rates import Path, paths, rate, returns
from risk.var import Series

SECONDS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14400, "1d": 86400}
SETTLED = 10  # seconds after its end a candle has all its trades

_MARKETS = """
    SELECT i.symbol, b.code, q.code, coalesce(p.price, c.price, (
           SELECT t.price FROM trading_trade t WHERE t.instrument_id = i.id ORDER BY t.number DESC LIMIT 1))
      FROM trading_instrument i JOIN trading_asset b ON b.id = i.base_id JOIN trading_asset q ON q.id = i.quote_id
      LEFT JOIN marketdata_price p ON p.instrument_id = i.id
      LEFT JOIN marketdata_candlecursor c ON c.instrument_id = i.id"""

# The candles of the span, and of each market the last one before it.
_CLOSES = """
    SELECT i.symbol, extract(epoch FROM c.start)::bigint, c.close::double precision
      FROM marketdata_candle c JOIN trading_instrument i ON i.id = c.instrument_id
     WHERE c.interval = %(interval)s AND c.start BETWEEN to_timestamp(%(first)s) AND to_timestamp(%(last)s)
     UNION ALL
    SELECT i.symbol, %(first)s - 1, c.close::double precision
      FROM trading_instrument i JOIN LATERAL (
           SELECT close FROM marketdata_candle
            WHERE instrument_id = i.id AND interval = %(interval)s AND start < to_timestamp(%(first)s)
            ORDER BY start DESC LIMIT 1) AS c ON true
     ORDER BY 1, 2"""


class Market(NamedTuple):
    """`rates` has what an asset is worth now, `returns` how that changed; an asset that nothing is known of is
    in neither."""

    rates: dict[str, Decimal]
    returns: dict[str, Series]


def read(parameters: Parameters) -> Market:
    with connection.cursor() as cursor:
        cursor.execute(_MARKETS)
        priced = [row for row in cursor.fetchall() if row[3] is not None]
    ways = paths([row[:3] for row in priced], parameters.currency)
    prices = {row[0]: row[3] for row in priced}
    closes = _kept(parameters)
    rates = {asset: rate(way, prices) for asset, way in ways.items()}
    return Market(rates, {asset: _returns(way, closes) for asset, way in ways.items() if way})


def _returns(way: Path, closes: dict[str, Series]) -> Series:
    known = all(step.symbol in closes for step in way)
    return returns(way, closes) if known else np.zeros(0)


def forget() -> None:
    _history.clear()


_history: dict[tuple[str, int, int], dict[str, Series]] = {}


def last_interval(parameters: Parameters) -> int:
    """When the last one that has ended began, in seconds since the epoch."""
    seconds = SECONDS[parameters.interval]
    return (int(time.time()) - SETTLED) // seconds * seconds - seconds


def _kept(parameters: Parameters) -> dict[str, Series]:
    """Closes by market, up to that one."""
    seconds, last = SECONDS[parameters.interval], last_interval(parameters)
    key = (parameters.interval, parameters.most_observations, last)
    if key not in _history:
        closes = _closes(parameters.interval, parameters.most_observations + 1, last, seconds)
        _history.clear()
        _history[key] = closes
    return _history[key]


def _closes(interval: str, length: int, last: int, seconds: int) -> dict[str, Series]:
    first = last - (length - 1) * seconds
    with connection.cursor() as cursor:
        cursor.execute(_CLOSES, {"interval": interval, "first": first, "last": last})
        rows: list[tuple[str, int, float]] = cursor.fetchall()
    found: dict[str, Series] = {}
    for symbol, start, close in rows:  # by time: each is carried forward until the next one writes over it
        series = found.setdefault(symbol, np.full(length, np.nan))
        series[max(0, (start - first) // seconds) :] = close
    return found
