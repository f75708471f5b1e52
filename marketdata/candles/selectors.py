"""Candles for readers, exact to the moment: what is stored, merged with the trades that are not yet in it.

They are read by one statement and so from one state of the database, in which an instrument's cursor says
which trades its candles have. An interval without trades has no candle; `filled` puts one there with the
close before it, and no volume.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from marketdata.candles import intervals
from marketdata.candles.intervals import WIDTHS
from marketdata.candles.merge import BEGINNING, COLUMNS, MERGED, OF_TRADE, floor
from marketdata.models import Interval

END = datetime(3000, 1, 1, tzinfo=UTC)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Candle:
    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trades: int


_CURSOR = """
    SELECT i.id, coalesce(c.number, 0), c.checked_at
      FROM read_instrument i LEFT JOIN marketdata_candlecursor c ON c.instrument_id = i.id
     WHERE i.symbol = %s"""

# The number that was read before is a lower bound of the cursor's: it makes the plan, the cursor the result.
_CANDLES = f"""
    WITH cursor AS MATERIALIZED (
        SELECT coalesce(max(number), 0) AS number FROM marketdata_candlecursor WHERE instrument_id = %(instrument)s),
    fresh AS MATERIALIZED (
        SELECT date_bin(%(width)s, executed_at, %(epoch)s) AS start, {OF_TRADE}
          FROM read_trade
         WHERE instrument_id = %(instrument)s AND number > %(number)s AND id >= %(floor)s
           AND number > (SELECT number FROM cursor)),
    stored AS (
        SELECT start, {COLUMNS} FROM marketdata_candle
         WHERE instrument_id = %(instrument)s AND interval = %(interval)s
           AND start >= %(since)s AND start < %(until)s
         ORDER BY start {{order}} LIMIT %(limit)s)
    SELECT start, {MERGED}, (SELECT greatest(max(last_number), (SELECT number FROM cursor)) FROM fresh)
      FROM (SELECT * FROM stored UNION ALL
            SELECT * FROM fresh WHERE start >= %(since)s AND start < %(until)s) AS piece
     GROUP BY start ORDER BY start {{order}} LIMIT %(limit)s"""
_OLDEST = _CANDLES.format(order="ASC")
_NEWEST = _CANDLES.format(order="DESC")


def candles(
    symbol: str, interval: Interval, since: datetime | None, until: datetime | None, limit: int
) -> list[Candle] | None:
    """Those that start at `since` or later and before `until`, oldest first; None if there is no such symbol.

    Where there are more than `limit`: the first ones after `since`, or without `since` the last ones.
    """
    found = _read(symbol, interval, since, until, limit)
    return None if found is None else found[0]


def filled(
    symbol: str, interval: Interval, since: datetime | None, until: datetime | None, limit: int
) -> list[Candle] | None:
    """The same without gaps, up to the running interval: where there was no trade, the close before is repeated, and
    counts towards `limit`. There is nothing before a market's first trade.
    """
    width = WIDTHS[interval]
    end = intervals.ceiling(min(_possible(until or END), datetime.now(UTC)), width)
    start = end - limit * width if since is None else intervals.ceiling(_possible(since), width)
    before = candles(symbol, interval, None, start, 1)
    found = candles(symbol, interval, start, end, limit)
    if before is None or found is None:
        return None
    if found and not before:
        start = found[0].start
    return list(_fill([*before, *found], start, min(end, start + limit * width), width))


def newest(symbol: str, interval: str, count: int) -> tuple[list[Candle], int]:
    """The newest candles that there are, oldest first, and the number of the newest trade that counts in them.

    Nothing and 0 for a market without trades or that does not exist.
    """
    found = _read(symbol, Interval(interval), None, None, count)
    return ([], 0) if found is None else found


def live_candle(symbol: str, interval: str) -> tuple[Candle | None, int]:
    """The candle of the running interval, None while there is no trade in it; and the number of the newest
    trade of the market, which it includes. What has a higher number is not in it.
    """
    found, number = newest(symbol, interval, 1)
    running = intervals.floor(datetime.now(UTC), WIDTHS[Interval(interval)])
    return (found[-1] if found and found[-1].start >= running else None), number


def _read(
    symbol: str, interval: Interval, since: datetime | None, until: datetime | None, limit: int
) -> tuple[list[Candle], int] | None:
    with connection.cursor() as cursor:
        cursor.execute(_CURSOR, [symbol])
        row = cursor.fetchone()
        if row is None:
            return None
        instrument, number, checked_at = row
        values: dict[str, Any] = {
            "instrument": instrument,
            "interval": interval.value,
            "width": WIDTHS[interval],
            "epoch": intervals.EPOCH,
            "number": number,
            "floor": floor(checked_at or BEGINNING),
            "since": since or BEGINNING,
            "until": until or END,
            "limit": limit,
        }
        cursor.execute(_NEWEST if since is None else _OLDEST, values)
        rows = cursor.fetchall()
    found = [Candle(*row[:8]) for row in rows]
    return (found[::-1] if since is None else found), (rows[0][-1] if rows else number)


def _possible(moment: datetime) -> datetime:
    """Moments that no trade is from are brought to where one could be."""
    return min(max(moment, BEGINNING), END)


def _fill(found: list[Candle], start: datetime, end: datetime, width: timedelta) -> Iterable[Candle]:
    """One for each interval from `start` to `end`; `found` may begin with one from before, for its close."""
    at = {candle.start: candle for candle in found}
    close = found[0].close if found else None
    while close is not None and start < end:
        candle = at.get(start) or Candle(start, close, close, close, close, ZERO, ZERO, 0)
        yield candle
        close = candle.close
        start += width
