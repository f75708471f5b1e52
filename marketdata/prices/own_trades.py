"""The last trade of our own matchers, from what they publish on `feed:{group}`.

Their messages are chained (`matching.feed`), so a price is vouched for by every message that follows the one
before it, the empty one of each second too. Where the chain is broken, or begins, the last trades are read
from PostgreSQL, which has had them before the message was sent. While a group says nothing, its prices grow
stale: it is not known whether they are still the last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

import msgspec
import psycopg
import redis
import structlog

from exchange.base import redis_keys
from exchange.base.redis import RETRY_AFTER, cancelled, connect_async
from marketdata.prices.board import Board
from marketdata.prices.quotes import Quote
from marketdata.prices.store import Store
from matching import feed
from matching.core.scale import trim

SILENCE = 5.0  # seconds after which the subscription is made again: matchers speak each second

log = structlog.get_logger(__name__)


class OwnTrades:
    def __init__(self, board: Board, store: Store, changed: Callable[[], None]) -> None:
        self._board, self._store, self._changed = board, store, changed
        self._seen: dict[str, tuple[int, int]] = {}  # epoch and sequence of each group
        self._loaded: set[int] = set()

    async def run(self) -> None:
        """Until cancelled."""
        client = connect_async()
        try:
            while not cancelled():
                try:
                    await self._listen(client)
                except redis.RedisError:
                    await asyncio.sleep(RETRY_AFTER)  # the publisher says so to the log
        finally:
            await client.aclose()

    async def load_new(self) -> None:
        """The last trades of instruments that are new on the board. Raises psycopg.Error."""
        if new := self._board.instruments() - self._loaded:
            await self._load(new)

    async def _load(self, instruments: Collection[int]) -> None:
        for trade in await self._store.last_trades(instruments):
            self._board.trade(trade.instrument, trade.number, trade.quote)
        self._loaded.update(instruments)

    async def _listen(self, client: redis.asyncio.Redis) -> None:
        """Returns when there was no message for a while."""
        async with client.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.psubscribe(redis_keys.FEED_PATTERN)
            heard_at = time.monotonic()
            while time.monotonic() - heard_at < SILENCE and not cancelled():
                message = await channel.get_message(timeout=SILENCE)
                if message is not None:
                    heard_at = time.monotonic()
                    await self._take(message["data"])

    async def _take(self, data: bytes) -> None:
        try:
            batch = feed.decode(data)
        except msgspec.MsgspecError as error:
            log.warning("feed message not understood", error=str(error))
            return
        epoch, sequence = self._seen.get(batch.group, (0, -1))
        if batch.epoch < epoch:
            return  # of a worker that another one has replaced
        for trade in batch.trades:
            self._board.trade(trade.instrument, trade.number, Quote(trim(trade.price), batch.timestamp))
        if (batch.epoch, batch.previous) != (epoch, sequence):
            try:
                await self._load(self._board.in_group(batch.group))
            except psycopg.Error as error:
                log.warning("last trades could not be read", group=batch.group, error=str(error).strip())
                return  # the chain stays broken, and the next message comes within the second
        self._seen[batch.group] = (batch.epoch, batch.sequence)
        self._board.vouch_for_trades(batch.group, time.monotonic())
        self._changed()
