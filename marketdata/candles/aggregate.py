"""Counts trades into candles: each once, however often and wherever this runs.

A run asks in one query which markets have trades beyond their cursor. If any has, one statement locks those
cursors, merges the trades into all six intervals and moves the cursors: all of it commits or nothing does, so
a run may be killed, repeated or doubled. Who finds a cursor locked leaves it to the one who has it.

Trades become visible in the order of their numbers, which have no gap: one worker at a time writes those of a
market. If there is a gap above the id floor all the same, the statement leaves that market alone and `gaps`
names it; `manage.py candles --rebuild` then looks at all of its trades.

A cursor's `checked_at` is a time at which nothing lay beyond it, so that no id older than that (less `SLACK`)
is ever looked for again. It moves with the cursor, and once an hour for a market without trades.

Why it is so: docs/decisions/028-candles.md.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db import connection

from marketdata.candles.intervals import EPOCH, WIDTHS
from marketdata.candles.merge import BEGINNING, COLUMNS, MERGED, OF_TRADE, SLACK, floor

BATCH = 20_000  # trades in one statement, shared by the markets that have some
BUDGET_SECONDS = 0.5  # other tasks wait for us
STALE = timedelta(hours=1)

_NEWS = """
    SELECT i.id, c.checked_at, coalesce((
           SELECT number FROM read_trade WHERE instrument_id = i.id AND id >= %s
            ORDER BY number DESC LIMIT 1), 0) > coalesce(c.number, 0)
      FROM read_instrument i LEFT JOIN marketdata_candlecursor c ON c.instrument_id = i.id"""

_NEW_CURSORS = """
    INSERT INTO marketdata_candlecursor (instrument_id, number, checked_at)
    SELECT unnest(%s::bigint[]), 0, %s ON CONFLICT DO NOTHING"""

_INTERVALS = ", ".join(f"('{name}', '{width.total_seconds()} s'::interval)" for name, width in WIDTHS.items())

# From the pieces `minute` to candles of all intervals.
CANDLES_OF_MINUTES = f"""
    SELECT instrument_id, interval, start, {MERGED} FROM (
        SELECT minute.*, i.interval, date_bin(i.width, minute, %(epoch)s) AS start
          FROM minute CROSS JOIN (VALUES {_INTERVALS}) AS i (interval, width)) AS piece
     GROUP BY instrument_id, interval, start"""

_COUNT = f"""
    WITH cursor AS MATERIALIZED (
        SELECT instrument_id, number FROM marketdata_candlecursor
         WHERE instrument_id = ANY (%(instruments)s) ORDER BY instrument_id FOR UPDATE SKIP LOCKED),
    trade AS MATERIALIZED (
        SELECT t.* FROM cursor CROSS JOIN LATERAL (
            SELECT instrument_id, number, price, quantity, executed_at FROM read_trade
             WHERE instrument_id = cursor.instrument_id AND number > cursor.number AND id >= %(floor)s
             ORDER BY number LIMIT %(limit)s) AS t),
    news AS MATERIALIZED (
        SELECT c.instrument_id, count(t.number) AS trades, coalesce(max(t.number), c.number) AS number,
               (array_agg(t.price ORDER BY t.number DESC))[1] AS price,
               coalesce(max(t.number), c.number) - c.number = count(t.number) AS whole
          FROM cursor c LEFT JOIN trade t ON t.instrument_id = c.instrument_id
         GROUP BY c.instrument_id, c.number),
    minute AS (
        SELECT instrument_id, minute, {MERGED} FROM (
            SELECT instrument_id, date_bin('1 minute', executed_at, %(epoch)s) AS minute, {OF_TRADE}
              FROM trade WHERE instrument_id IN (SELECT instrument_id FROM news WHERE whole)) AS piece
         GROUP BY instrument_id, minute),
    candle AS (
        INSERT INTO marketdata_candle AS c (instrument_id, interval, start, {COLUMNS}) {CANDLES_OF_MINUTES}
        ON CONFLICT (instrument_id, interval, start) DO UPDATE
           SET high = greatest(c.high, excluded.high), low = least(c.low, excluded.low), close = excluded.close,
               volume = c.volume + excluded.volume, quote_volume = c.quote_volume + excluded.quote_volume,
               trades = c.trades + excluded.trades, last_number = excluded.last_number),
    moved AS (
        UPDATE marketdata_candlecursor c
           SET number = news.number, price = coalesce(news.price, c.price),
               checked_at = CASE WHEN news.trades < %(limit)s THEN now() ELSE c.checked_at END
          FROM news WHERE news.instrument_id = c.instrument_id AND news.whole)
    SELECT instrument_id, trades, whole FROM news"""


@dataclass
class Counted:
    """What a run did, by instrument."""

    trades: dict[int, int] = field(default_factory=dict)
    gaps: set[int] = field(default_factory=set)
    finished: bool = True


def aggregate(budget: float = BUDGET_SECONDS) -> Counted:
    """Count what is new, for about `budget` seconds at most."""
    counted, until = Counted(), time.monotonic() + budget
    chosen = _news()
    while chosen:
        if not counted.finished and time.monotonic() > until:
            return counted
        limit = max(1, BATCH // len(chosen))
        rows = _count(chosen, limit)
        for instrument, trades, whole in rows:
            if not whole:
                counted.gaps.add(instrument)
            elif trades:
                counted.trades[instrument] = counted.trades.get(instrument, 0) + trades
        chosen = {row[0]: chosen[row[0]] for row in rows if row[1] == limit and row[2]}
        counted.finished = not chosen
    return counted


def _news() -> dict[int, datetime]:
    """The instruments to look at, with the time since which each may have trades that are not counted."""
    now = datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute(_NEWS, [floor(now - STALE - SLACK)])
        rows = cursor.fetchall()
        if unknown := [instrument for instrument, checked_at, _ in rows if checked_at is None]:
            cursor.execute(_NEW_CURSORS, [unknown, BEGINNING])
    return {
        instrument: checked_at or BEGINNING
        for instrument, checked_at, has_news in rows
        if has_news or checked_at is None or checked_at < now - STALE
    }


def _count(chosen: dict[int, datetime], limit: int) -> Collection[tuple[int, int, bool]]:
    """One statement, at most `limit` trades of each instrument; (instrument, trades, without a gap)."""
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNT,
            {
                "instruments": list(chosen),
                "floor": floor(min(chosen.values())),
                "limit": limit,
                "epoch": EPOCH,
            },
        )
        return cursor.fetchall()
