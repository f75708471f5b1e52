"""All prices of a moment and the closes before it, read by SQL from market data's tables, and what assets have
returned in a currency by them.

Prices are those of `risk.portfolio.asset_prices`. Closes come from candles; an interval without a trade repeats the
close before it. They change once an interval, so a process keeps them that long.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from django.db import connection

from risk.models.positions import Parameters
from risk.portfolio import asset_prices
from risk.portfolio.conversion import Path
from risk.portfolio.value_at_risk import Series

SECONDS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14400, "1d": 86400}
SETTLED = 10  # seconds after its end a candle has all its trades

# The candles of the span, and of each market the last one before it.
_CLOSES = """
    SELECT i.symbol, extract(epoch FROM c.start)::bigint, c.close::double precision
      FROM marketdata_candle c JOIN read_instrument i ON i.id = c.instrument_id
     WHERE c.interval = %(interval)s AND c.start BETWEEN to_timestamp(%(first)s) AND to_timestamp(%(last)s)
     UNION ALL
    SELECT i.symbol, %(first)s - 1, c.close::double precision
      FROM read_instrument i JOIN LATERAL (
           SELECT close FROM marketdata_candle
            WHERE instrument_id = i.id AND interval = %(interval)s AND start < to_timestamp(%(first)s)
            ORDER BY start DESC LIMIT 1) AS c ON true
     ORDER BY 1, 2"""


class PriceHistory(NamedTuple):
    """`rates` has what an asset is worth now, `returns` how that changed; an asset that nothing is known of is
    in neither."""

    rates: dict[str, Decimal]
    returns: dict[str, Series]


def read(parameters: Parameters) -> PriceHistory:
    prices = asset_prices.read(parameters.currency)
    closes = _kept(parameters)
    return PriceHistory(
        prices.rates, {asset: _returns(path, closes) for asset, path in prices.paths.items() if path}
    )


def _returns(path: Path, closes: dict[str, Series]) -> Series:
    known = all(step.symbol in closes for step in path)
    return returns(path, closes) if known else np.zeros(0)


def returns(path: Path, closes: Mapping[str, Series]) -> Series:
    """Of the asset in the currency, from closes of equal length; as many as all markets on the path have, the
    latest last. Pure."""
    product: Series | None = None
    for step in path:
        series = closes[step.symbol]
        series = 1 / series if step.inverse else series
        product = series if product is None else product * series
    if product is None:
        return np.zeros(0)
    product = product[~np.isnan(product)]  # only the beginning can be missing: closes are carried forward
    return product[1:] / product[:-1] - 1


def clear_cache() -> None:
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
