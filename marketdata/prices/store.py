"""What prices have to do with PostgreSQL: instruments, last trades, the table of prices, and the events of those that
changed.

All of it runs on one thread with one connection of its own, so that the event loop never waits. After an
error the connection is made again. Trading is read by plain SQL from its read views, because market data does
not import it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

import psycopg

from exchange.base.database import connect
from exchange.base.decimals import plain
from exchange.base.ids import uuid7
from exchange.base.times import rfc3339
from exchange.platform.events import outbox, topics
from exchange.platform.events.wakeup import wake_relay
from marketdata.prices.board import Listed
from marketdata.prices.choice import View
from marketdata.prices.quotes import Quote

T = TypeVar("T")

_INSTRUMENTS = """
    SELECT id, symbol, group_id, upper(trim(outside_symbol)), trigger_source = 'MARKET'
      FROM read_instrument WHERE group_id IS NOT NULL ORDER BY id"""
_LAST_TRADES = """
    SELECT wanted, number, price, executed_at
      FROM unnest(%s::bigint[]) AS wanted CROSS JOIN LATERAL (
           SELECT number, price, executed_at FROM read_trade
            WHERE instrument_id = wanted ORDER BY number DESC LIMIT 1) AS last"""
_SAVE = """
    INSERT INTO marketdata_price (instrument_id, price, source, stale, priced_at)
    SELECT id, %(price)s::numeric, %(source)s, %(stale)s, %(priced_at)s::timestamptz
      FROM read_instrument WHERE id = %(instrument)s
    ON CONFLICT (instrument_id) DO UPDATE
       SET price = excluded.price, source = excluded.source, stale = excluded.stale,
           priced_at = excluded.priced_at"""


_BEFORE = """
    SELECT instrument.id, symbol, price FROM read_instrument AS instrument
      LEFT JOIN marketdata_price ON instrument_id = instrument.id WHERE instrument.id = ANY (%s)"""
_TELL = f"INSERT INTO {outbox.TABLE} ({outbox.COLUMNS}) VALUES (%s, %s, %s)"  # noqa: S608 - names are ours


class LastTrade(NamedTuple):
    instrument: int
    number: int
    quote: Quote


class Store:
    """Every method may raise psycopg.Error."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "prices-store")
        self._connection: psycopg.Connection[Any] | None = None

    async def instruments(self) -> list[Listed]:
        return await self._run(lambda connection: [Listed(*row) for row in connection.execute(_INSTRUMENTS)])

    async def last_trades(self, instruments: Collection[int]) -> list[LastTrade]:
        rows = await self._run(
            lambda connection: connection.execute(_LAST_TRADES, [list(instruments)]).fetchall()
        )
        return [
            LastTrade(instrument, number, Quote(plain(price), rfc3339(executed_at)))
            for instrument, number, price, executed_at in rows
        ]

    async def save(self, prices: Collection[tuple[int, View]]) -> None:
        """The prices, and with them an event for each that is another one than before."""
        rows = [
            {
                "instrument": instrument,
                "price": view.quote.price,
                "source": view.source,
                "stale": view.stale,
                "priced_at": view.quote.timestamp,
            }
            for instrument, view in prices
        ]

        def save(connection: psycopg.Connection[Any]) -> None:
            with connection.transaction(), connection.cursor() as cursor:
                cursor.execute(_BEFORE, [[instrument for instrument, _ in prices]])
                before = {instrument: (symbol, price) for instrument, symbol, price in cursor}
                cursor.executemany(_SAVE, rows)
                cursor.executemany(_TELL, list(_events(prices, before)))
            wake_relay()

        await self._run(save)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    async def _run(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._with_connection, work)

    def _with_connection(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        if self._connection is None:
            self._connection = connect("exchange prices")
        try:
            return work(self._connection)
        except psycopg.Error:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _events(
    prices: Collection[tuple[int, View]], before: Mapping[int, tuple[str, Decimal | None]]
) -> Iterator[tuple[str, str, str]]:
    """A row of the outbox for each price that changed."""
    for instrument, view in prices:
        symbol, known = before.get(instrument, (None, None))
        if symbol is None or known == Decimal(view.quote.price):
            continue
        payload = {"symbol": symbol, "price": view.quote.price, "source": view.source}
        yield topics.PRICES, symbol, outbox.message("PRICE_CHANGED", payload, trace_id=uuid7())
