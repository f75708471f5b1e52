"""The prices at work: sources, board, Redis and PostgreSQL, in one event loop. Run one.

Redis or PostgreSQL may be away at any time: what could not be published or saved stays on the board, and the
newest of it is published when they are back. A mistake of our own ends the process, and it is started again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

import psycopg
import structlog

from exchange.base.redis import cancelled
from marketdata.models.prices import Source
from marketdata.prices.board import PAUSE, Board
from marketdata.prices.own_trades import OwnTrades
from marketdata.prices.poll import Poll
from marketdata.prices.publisher import Publisher
from marketdata.prices.quotes import Quote
from marketdata.prices.store import Store
from marketdata.prices.stream import SILENCE, Stream

SWEEP = PAUSE  # seconds between two looks at all markets
GRAIN = 0.01  # between two looks at those that changed
SAVE = 1.0
READ = 5.0  # between two looks at the instruments
OWN_PATIENCE = 5.0  # matchers speak each second

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Settings:
    """As in `exchange.base.env`: an empty address means a source that is not used."""

    ws_url: str
    rest_url: str
    ws_patience: float
    rest_patience: float
    settle: float
    jump: Decimal
    silence: float = SILENCE


class Service:
    """`request_check` sends the task that checks the stops; it may block, and must not raise."""

    def __init__(self, settings: Settings, request_check: Callable[[], None]) -> None:
        self._settings, self._request_check = settings, request_check
        self._changed = asyncio.Event()
        patience = {
            Source.BINANCE_WS: settings.ws_patience,
            Source.BINANCE_REST: settings.rest_patience,
            Source.LAST_TRADE: OWN_PATIENCE,
        }
        self._board = Board(patience, settings.settle)
        self._store = Store()
        self._publisher = Publisher()
        self._stream = Stream(settings.ws_url, self._hear, settings.jump, settings.silence)
        self._poll = Poll(settings.rest_url, self._uncertain, self._hear, settings.jump)
        self._own = OwnTrades(self._board, self._store, self._changed.set)
        self._database_answers = True

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow_instruments(tasks))
                tasks.create_task(self._own.run())
                if self._settings.rest_url:
                    tasks.create_task(self._poll.run())
                tasks.create_task(self._publish(tasks))
                tasks.create_task(self._every(SAVE, lambda: self._with_database(self._save)))
                tasks.create_task(self._every(1.0, self._beat))
        finally:
            await self._publisher.close()
            await self._store.close()

    # What the sources call

    def _hear(self, source: Source, market_symbol: str, quote: Quote, now: float) -> None:
        self._board.record_quote(source, market_symbol, quote, now)
        self._changed.set()

    def _uncertain(self) -> list[str]:
        return self._board.uncertain(time.monotonic())

    # What runs

    async def _publish(self, tasks: asyncio.TaskGroup) -> None:
        """Publish what changed, as soon as it may be published, and look at everything each SWEEP seconds."""
        swept_at = 0.0
        while not cancelled():
            if not self._board.waiting:
                with suppress(TimeoutError):
                    async with asyncio.timeout(SWEEP):  # wait_for may swallow a cancellation
                        await self._changed.wait()
            self._changed.clear()
            now = time.monotonic()
            sweep = now - swept_at >= SWEEP
            if sweep:
                swept_at = now
                self._board.vouch(Source.BINANCE_WS, self._stream.current, self._stream.alive_at)
            news = self._board.news(now, sweep)
            if news:
                published, check = await self._publisher.publish(news)
                if published:
                    self._board.mark_published(news, now)
                if check:
                    tasks.create_task(asyncio.to_thread(self._request_check))
            await asyncio.sleep(GRAIN)

    async def _follow_instruments(self, tasks: asyncio.TaskGroup) -> None:
        """Notice instruments that are new, or listed outside under another name."""
        markets: frozenset[str] = frozenset()
        listening: asyncio.Task[None] | None = None
        while True:
            await self._with_database(self._read)
            if self._board.markets() != markets:
                markets = self._board.markets()
                if listening is not None:
                    listening.cancel()
                if self._settings.ws_url:
                    listening = tasks.create_task(self._stream.run(markets))
            await asyncio.sleep(READ if self._database_answers else SAVE)

    async def _read(self) -> None:
        self._board.adopt(await self._store.instruments())
        await self._own.load_new()

    async def _save(self) -> None:
        rows = self._board.unsaved(time.monotonic())
        if rows:
            await self._store.save(rows)
            self._board.saved(rows)

    async def _with_database(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except psycopg.Error as error:
            if self._database_answers:
                log.warning("database unavailable", error=str(error).strip())
            self._database_answers = False
        else:
            self._database_answers = True

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while not cancelled():
            await work()
            await asyncio.sleep(seconds)

    async def _beat(self) -> None:
        await self._publisher.beat(len(self._board))
