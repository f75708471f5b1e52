"""What prices have to do with PostgreSQL: instruments, last trades, the table of prices.

All of it runs on one thread with one connection of its own, so that the event loop never waits. After an
error the connection is made anew. The trading tables are read by plain SQL, because market data does not
import trading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import psycopg

from exchange.database import connect
from exchange.times import rfc3339
from marketdata.prices.board import Listed
from marketdata.prices.choice import View
from marketdata.prices.quotes import Quote
from marketdata.text import plain

T = TypeVar("T")

_INSTRUMENTS = """
    SELECT id, symbol, group_id, upper(trim(market_symbol)), trigger_source = 'MARKET'
      FROM trading_instrument WHERE group_id IS NOT NULL ORDER BY id"""
_LAST_TRADES = """
    SELECT wanted, number, price, executed_at
      FROM unnest(%s::bigint[]) AS wanted CROSS JOIN LATERAL (
           SELECT number, price, executed_at FROM trading_trade
            WHERE instrument_id = wanted ORDER BY number DESC LIMIT 1) AS last"""
_SAVE = """
    INSERT INTO marketdata_price (instrument_id, price, source, stale, priced_at)
    SELECT id, %(price)s::numeric, %(source)s, %(stale)s, %(priced_at)s::timestamptz
      FROM trading_instrument WHERE id = %(instrument)s
    ON CONFLICT (instrument_id) DO UPDATE
       SET price = excluded.price, source = excluded.source, stale = excluded.stale,
           priced_at = excluded.priced_at"""


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
                cursor.executemany(_SAVE, rows)

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
