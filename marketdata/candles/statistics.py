"""The last 24 hours of every market: 1,440 whole minutes, the running one included.

Whole hours are read from their own candles, the rest of the first hour from minutes: at most 83 rows a market
instead of 1,440.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal

from django.db import connection

from marketdata.candles import intervals
from marketdata.candles.intervals import WIDTHS
from marketdata.candles.merge import COLUMNS, MERGED
from marketdata.models import Interval
from matching.core.scale import EXACT

SPAN = timedelta(days=1)
CENT = Decimal("0.01")

_percent = Context(prec=60)

_STATISTICS = f"""
    WITH chosen AS MATERIALIZED (
        SELECT id, symbol FROM read_instrument
         WHERE %(instruments)s::bigint[] IS NULL OR id = ANY (%(instruments)s::bigint[])),
    piece AS (
        SELECT instrument_id, {COLUMNS} FROM marketdata_candle
         WHERE instrument_id IN (SELECT id FROM chosen) AND interval = '1h' AND start >= %(hour)s
         UNION ALL
        SELECT instrument_id, {COLUMNS} FROM marketdata_candle
         WHERE instrument_id IN (SELECT id FROM chosen) AND interval = '1m'
           AND start >= %(since)s AND start < %(hour)s),
    day AS (SELECT instrument_id, {MERGED} FROM piece GROUP BY instrument_id)
    SELECT i.id, i.symbol, d.open, d.high, d.low, coalesce(d.volume, 0), coalesce(d.quote_volume, 0),
           coalesce(d.trades, 0), c.price, coalesce(c.number, 0)
      FROM chosen i
      LEFT JOIN marketdata_candlecursor c ON c.instrument_id = i.id
      LEFT JOIN day d ON d.instrument_id = i.id
     ORDER BY i.symbol"""


@dataclass(frozen=True, slots=True)
class Statistics:
    """`open`, `high` and `low` are None if there was no trade in the 24 hours; `last` is the last price ever."""

    instrument: int
    symbol: str
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    volume: Decimal
    quote_volume: Decimal
    trades: int
    last: Decimal | None
    last_number: int

    @property
    def change(self) -> Decimal | None:
        """From the open to the last price."""
        if self.open is None or self.last is None:
            return None
        return EXACT.subtract(self.last, self.open)

    @property
    def change_percent(self) -> Decimal | None:
        """The same in percent of the open, to two places."""
        if self.open is None or self.change is None:
            return None
        return _percent.quantize(_percent.divide(100 * self.change, self.open), CENT)


def statistics(instruments: Collection[int] | None, now: datetime | None = None) -> list[Statistics]:
    """By symbol, of some or of all (None), from the trades that are counted: while Celery runs, all but those of
    the last second.
    """
    minute = WIDTHS[Interval.M1]
    since = intervals.floor(now or datetime.now(UTC), minute) - SPAN + minute
    values = {
        "instruments": None if instruments is None else list(instruments),
        "since": since,
        "hour": intervals.ceiling(since, WIDTHS[Interval.H1]),
    }
    with connection.cursor() as cursor:
        cursor.execute(_STATISTICS, values)
        return [Statistics(*row) for row in cursor.fetchall()]
