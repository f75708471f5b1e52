"""The one Redis subscription of the process, and which channels get what of it.

Each group's messages are checked link by link (`chain`). Where one is missing, whatever is kept from that
group is loaded again and its clients get a new epoch. So it does not matter how a message was lost: Redis or the
worker restarted, a connection broken, a process held up.

A market that moves to another group breaks the chains of both: `broken` is called, to look for that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import redis
import redis.asyncio
import structlog

from exchange.base import redis_keys
from exchange.base.redis import connect_async
from exchange.platform.notifications import feed as notifications
from marketdata.stream.chain import Chain, Link
from marketdata.stream.routes import Routes
from marketdata.stream.ticker import decode_note, decode_price
from marketdata.tickers import announce
from matching import feed
from matching.feed import Batch

SILENCE_SECONDS = 3.0  # every matcher says something each second
RETRY_SECONDS = 0.5

log = structlog.get_logger(__name__)

decode_users = msgspec.json.Decoder(list[str]).decode


class Feed:
    def __init__(self, routes: Routes, broken: Callable[[], None]) -> None:
        self._routes = routes
        self._broken = broken
        self._chains: dict[str, Chain] = {}
        self._listens = True
        self._started_at = 0.0

    def chain(self, group: str) -> Chain:
        chain = self._chains.get(group)
        if chain is None:
            chain = self._chains[group] = Chain()
        return chain

    def silent(self, group: str, now: float) -> bool:
        """True if nothing was heard of the group's worker for a while."""
        return now - max(self.chain(group).heard_at, self._started_at) > SILENCE_SECONDS

    async def run(self) -> None:
        """Listen until cancelled."""
        self._started_at = asyncio.get_running_loop().time()
        while True:
            try:
                await self._listen()
            except (redis.RedisError, OSError) as error:
                if self._listens:
                    log.warning("the feed is away", error=str(error))
                self._listens = False
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        """Returns when nothing was heard for so long that the connection may be dead."""
        client = connect_async()
        async with contextlib.aclosing(client), client.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.psubscribe(redis_keys.FEED_PATTERN)
            await subscription.subscribe(
                announce.CHANNEL, redis_keys.PRICES, redis_keys.USERS, redis_keys.NOTIFICATIONS
            )
            self._routes.resume()
            loop_time = asyncio.get_running_loop().time
            heard_at = loop_time()
            while loop_time() - heard_at < SILENCE_SECONDS:
                message = await subscription.get_message(timeout=SILENCE_SECONDS)
                if message is not None:
                    heard_at = loop_time()
                    self._receive(message)

    def _receive(self, message: dict[str, Any]) -> None:
        if not self._listens:
            log.info("the feed is back")
            self._listens = True
        channel, data = message["channel"], message["data"]
        try:
            if message["type"] == "pmessage":
                self.take(feed.decode(data))
            else:
                self._told(channel.decode(), data)
        except msgspec.DecodeError as error:
            log.error("a message of another version is left out", channel=channel, error=str(error))

    def take(self, batch: Batch) -> None:
        chain = self.chain(batch.group)
        link = chain.take(batch, asyncio.get_running_loop().time())
        if link is Link.BROKEN:
            log.info("a new chain", group=batch.group, epoch=batch.epoch, sequence=batch.sequence)
            self._routes.lose(batch.group)
            self._broken()
        if link is not Link.OLD:
            self._routes.deliver(batch)
        if batch.previous == batch.sequence:
            for book in self._routes.books.of_group(batch.group):
                book.snapshot_written()

    def _told(self, channel: str, data: bytes) -> None:
        """What is not of a matcher."""
        routes = self._routes
        match channel:
            case announce.CHANNEL if routes.tickers:
                note = decode_note(data)
                for ticker in routes.tickers.get(note.symbol, ()):
                    ticker.noted(note)
            case redis_keys.PRICES if routes.tickers:
                price = decode_price(data)
                for ticker in routes.tickers.get(price.symbol, ()):
                    ticker.priced(price)
            case redis_keys.NOTIFICATIONS if routes.notifications:
                decoded = notifications.decode(data)
                for channel_of_user in routes.notifications.get(decoded.user_id, ()):
                    channel_of_user.notified(decoded.note)
            case redis_keys.USERS:
                for user in decode_users(data):
                    for balances in routes.balances.get(user, ()):
                        balances.changed()
