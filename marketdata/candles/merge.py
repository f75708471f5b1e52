"""The one rule by which candles are made, as SQL: pieces of an interval are merged into the whole.

A piece has the columns open, high, low, close, volume, quote_volume, trades, first_number, last_number. A
trade is one (`OF_TRADE`), a minute is one of an hour, and a stored candle is one beside the trades that it
does not have yet. What comes first and last is decided by the numbers of trades and never by their times, which
can go back when a matcher is taken over by a machine with another clock.

Trades are looked for above an id, because they have a partition a day: `SLACK` is how far the clocks of the
machines that make ids may be apart, with the time that a settlement takes.

Why it is so: docs/decisions/028-candles.md.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from exchange.base import ids

SLACK = timedelta(days=1)
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)  # before any trade

MERGED = """
    (array_agg(open ORDER BY first_number))[1] AS open, max(high) AS high, min(low) AS low,
    (array_agg(close ORDER BY last_number DESC))[1] AS close,
    sum(volume) AS volume, sum(quote_volume) AS quote_volume, sum(trades)::bigint AS trades,
    min(first_number) AS first_number, max(last_number) AS last_number"""

OF_TRADE = """
    price AS open, price AS high, price AS low, price AS close, quantity AS volume,
    price * quantity AS quote_volume, 1 AS trades, number AS first_number, number AS last_number"""

COLUMNS = "open, high, low, close, volume, quote_volume, trades, first_number, last_number"


def floor(checked_at: datetime) -> UUID:
    """No trade that was not there at `checked_at` has a lower id."""
    return ids.floor(max(checked_at - SLACK, BEGINNING))
