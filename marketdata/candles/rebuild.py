"""Makes an instrument's candles again from its trades, and returns what differed from those that were there.

Only what differs is written, in one transaction that holds the instrument's cursor: readers see the old
candles or the right ones, and no process counts meanwhile. Trades beyond the cursor are left to `aggregate`, which
is made to look at all of them. Known limitation: it needs every trade since the first; if some were archived
it refuses, as it would take the candles away with them.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection, transaction

from marketdata.candles.aggregate import CANDLES_OF_MINUTES
from marketdata.candles.intervals import EPOCH
from marketdata.candles.merge import BEGINNING, COLUMNS, MERGED, OF_TRADE

_LOCK = "SELECT FROM marketdata_candlecursor WHERE instrument_id = %s FOR UPDATE"

_DIFFERENCES = f"""
    CREATE TEMPORARY TABLE candle_difference ON COMMIT DROP AS
    WITH trade AS (
        SELECT t.* FROM read_trade t JOIN marketdata_candlecursor c USING (instrument_id)
         WHERE instrument_id = %(instrument)s AND t.number <= c.number),
    minute AS (
        SELECT instrument_id, minute, {MERGED} FROM (
            SELECT instrument_id, date_bin('1 minute', executed_at, %(epoch)s) AS minute, {OF_TRADE}
              FROM trade) AS piece
         GROUP BY instrument_id, minute),
    should AS ({CANDLES_OF_MINUTES}),
    is_there AS (SELECT * FROM marketdata_candle WHERE instrument_id = %(instrument)s)
    SELECT interval, start, {", ".join(f"should.{name}" for name in COLUMNS.split(", "))},
           is_there.start IS NULL AS missing, should.start IS NULL AS surplus
      FROM should FULL JOIN is_there USING (interval, start)
     WHERE ({", ".join(f"should.{name}" for name in COLUMNS.split(", "))})
           IS DISTINCT FROM ({", ".join(f"is_there.{name}" for name in COLUMNS.split(", "))})"""

_TRADES = """
    SELECT c.number, (SELECT count(*) FROM read_trade t
                       WHERE t.instrument_id = c.instrument_id AND t.number <= c.number)
      FROM marketdata_candlecursor c WHERE c.instrument_id = %s"""

_SUMMARY = """
    SELECT count(*) FILTER (WHERE missing), count(*) FILTER (WHERE NOT missing AND NOT surplus),
           count(*) FILTER (WHERE surplus) FROM candle_difference"""

_DELETE = """
    DELETE FROM marketdata_candle c USING candle_difference d
     WHERE c.instrument_id = %s AND c.interval = d.interval AND c.start = d.start AND d.surplus"""

_WRITE = f"""
    INSERT INTO marketdata_candle (instrument_id, interval, start, {COLUMNS})
    SELECT %s, interval, start, {COLUMNS} FROM candle_difference WHERE NOT surplus
    ON CONFLICT (instrument_id, interval, start) DO UPDATE
       SET {", ".join(f"{name} = excluded.{name}" for name in COLUMNS.split(", "))}"""

_LOOK_AT_ALL = """
    UPDATE marketdata_candlecursor c SET checked_at = %s,
           price = (SELECT t.price FROM read_trade t WHERE t.instrument_id = c.instrument_id AND t.number = c.number)
     WHERE c.instrument_id = %s"""


class TradesMissing(Exception):
    """Not all of the trades that were counted are there."""


@dataclass(frozen=True)
class Difference:
    """Candles that were missing, had other values, or had no trades."""

    missing: int = 0
    wrong: int = 0
    surplus: int = 0

    def __bool__(self) -> bool:
        return bool(self.missing or self.wrong or self.surplus)


def rebuild(instrument: int, *, dry_run: bool = False) -> Difference:
    """What differed; with `dry_run` it still does. Raises TradesMissing, and has changed nothing then."""
    with transaction.atomic(), connection.cursor() as cursor:
        if not dry_run:
            cursor.execute(_LOCK, [instrument])
        cursor.execute(_TRADES, [instrument])
        row = cursor.fetchone()
        if row is not None and row[0] != row[1]:
            raise TradesMissing(f"{row[1]} of {row[0]} trades are there")
        cursor.execute(_DIFFERENCES, {"instrument": instrument, "epoch": EPOCH})
        cursor.execute(_SUMMARY)
        difference = Difference(*cursor.fetchone())
        if not dry_run:
            cursor.execute(_DELETE, [instrument])
            cursor.execute(_WRITE, [instrument])
            cursor.execute(_LOOK_AT_ALL, [BEGINNING, instrument])
        cursor.execute("DROP TABLE candle_difference")
    return difference
