"""The centre of a stream process: all its connections, the channels that have clients, the heartbeat.

A channel is made when the first client wants it and stays for a while after the last has left, so that one who
comes back can go on where it was.

The heartbeat goes to every connection each second. Its counter goes up by one each time, so a client sees that
it missed something, or that it is connected to another process.
"""

from __future__ import annotations

import asyncio
import time

import django.db
import msgspec
import psycopg
import redis
import structlog
from channels.db import database_sync_to_async

from exchange.base import metrics, redis_keys
from exchange.base.env import env
from exchange.base.http.problems import Problem
from exchange.base.redis import connect_async
from exchange.base.times import now_text
from exchange.platform.members.authentication import Member
from marketdata.stream import keys
from marketdata.stream.books import Books
from marketdata.stream.channel import Channel
from marketdata.stream.connection import GOING_AWAY, Connection
from marketdata.stream.factory import Factory
from marketdata.stream.feed import Feed
from marketdata.stream.limits import Quota
from marketdata.stream.markets import USER_CHANNELS, Markets, Name
from marketdata.stream.messages import Error, Heartbeat, encode
from marketdata.stream.routes import Routes
from marketdata.stream.tasks import Tasks
from marketdata.stream.wire import frame

HEARTBEAT_SECONDS = 1.0
ALIVE_SECONDS = 5
LINGER_SECONDS = 30.0
MARKETS_EVERY = 10  # heartbeats
KEYS_EVERY = 2  # heartbeats

log = structlog.get_logger(__name__)


class Hub:
    def __init__(self) -> None:
        self.markets = Markets()
        self.addresses = Quota(env.exchange_ws_per_address)
        self.users = Quota(env.exchange_ws_per_user)
        self._connections: set[Connection] = set()
        self._channels: dict[tuple[Name, str], Channel] = {}
        self._redis = connect_async()
        self._redis_answers = True
        self._tasks = Tasks()
        self._routes = Routes(Books(self._redis, self._tasks))
        self._feed = Feed(self._routes, self._look_for_moves)
        self._factory = Factory(self.markets, self._routes, self._feed, self._redis, self._tasks)
        self._counter = 0
        self._checking_keys = False

    # Connections and channels

    def join(self, connection: Connection) -> None:
        self._connections.add(connection)
        metrics.connections.set(len(self._connections))

    def leave(self, connection: Connection) -> None:
        for name in list(connection.channels):
            self.unsubscribe(connection, name)
        self._sign_out(connection)
        self._connections.discard(connection)
        metrics.connections.set(len(self._connections))

    def sign_in(self, connection: Connection, member: Member, expires_at: float) -> None:
        """Until then (seconds since the epoch). Raises Problem 429 where the user has too many connections."""
        before = connection.member
        if before is None or before.user_id != member.user_id:
            if not self.users.take(member.user_id):
                detail = f"A user may have {self.users.limit} connections."
                raise Problem(429, "too_many_connections", detail)
            self._sign_out(connection)
        connection.member, connection.expires_at = member, expires_at

    def _sign_out(self, connection: Connection) -> None:
        if connection.member is not None:
            self.users.give_back(connection.member.user_id)
            connection.member = None
        for name in USER_CHANNELS:
            self.unsubscribe(connection, name)

    def subscribe(self, connection: Connection, name: Name) -> None:
        """The market must be known, and for a user's channel a user must have signed in."""
        if str(name) not in connection.channels:
            channel = connection.channels[str(name)] = self._channel(name, connection)
            channel.join(connection)

    def resync(self, connection: Connection, name: Name, epoch: str | None, last_sequence: int) -> None:
        channel = connection.channels[str(name)] = self._channel(name, connection)
        channel.resync(connection, epoch, last_sequence)

    def unsubscribe(self, connection: Connection, name: str) -> None:
        channel = connection.channels.pop(name, None)
        if channel is not None:
            channel.leave(connection)
            if not channel.subscribers:
                asyncio.get_running_loop().call_later(LINGER_SECONDS, self._close_unused, channel)

    def _channel(self, name: Name, connection: Connection) -> Channel:
        user = ""
        if not name.symbol:
            assert connection.member is not None, "user channels are for those who have signed in"
            user = connection.member.user_id
        channel = self._channels.get((name, user))
        if channel is None:
            channel = self._channels[name, user] = self._factory.make(name, user)
            channel.open()
        return channel

    def _close_unused(self, channel: Channel) -> None:
        if channel.subscribers:
            return
        for key, known in list(self._channels.items()):
            if known is channel:
                del self._channels[key]
                self._routes.remove(channel)
                channel.close()

    # Life

    async def run(self) -> None:
        """Until cancelled, or until something fails that must not."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed.run())
            group.create_task(self._beats())
            group.create_task(self._tasks.failure())

    def close(self) -> None:
        """The process ends: close all connections."""
        for connection in list(self._connections):
            connection.close(GOING_AWAY, "the server stops; connect again")

    async def _beats(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self._beat()
            due = max(due + HEARTBEAT_SECONDS, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _beat(self) -> None:
        if self._counter % MARKETS_EVERY == 0:
            await self._follow_markets()
        self._counter += 1
        now = asyncio.get_running_loop().time()
        stale = sorted(market.symbol for market in self.markets.all() if self._feed.silent(market.group, now))
        wire = frame(encode(Heartbeat(self._counter, now_text(), stale)))
        for connection in list(self._connections):
            connection.send_frame(wire)
            connection.check(now)
            if connection.member is not None and time.time() >= connection.expires_at:
                by_key = connection.member.key_id
                self._sign_out(connection)
                connection.send(
                    Error("key_expired", "This API key has expired.")
                    if by_key
                    else Error("token_expired", "The access token has ended: send AUTH with a new one.")
                )
        if self._counter % KEYS_EVERY == 0 and not self._checking_keys:
            self._tasks.start(self._check_keys())
        self._routes.second()
        await self._sign_of_life()

    async def _check_keys(self) -> None:
        """Sign out whose API key may not be used any more."""
        signed_in = [
            (connection, keys.Use(connection.member.key_id, connection.address))
            for connection in self._connections
            if connection.member is not None and connection.member.key_id
        ]
        if not signed_in:
            return
        self._checking_keys = True
        try:
            refused = await database_sync_to_async(keys.refused)({use for _, use in signed_in})
        except (django.db.Error, psycopg.Error) as error:
            log.warning("API keys cannot be read", error=str(error).split("\n")[0])
            return
        finally:
            self._checking_keys = False
        for connection, use in signed_in:
            member = connection.member
            if use in refused and member is not None and member.key_id == use.key_id:
                self._sign_out(connection)
                connection.send(Error(refused[use].code, refused[use].detail))

    def _look_for_moves(self) -> None:
        self._tasks.start(self._follow_markets(at_once=True))

    async def _follow_markets(self, *, at_once: bool = False) -> None:
        try:
            await self.markets.refresh(at_once=at_once)
        except (django.db.Error, psycopg.Error) as error:
            log.warning("markets cannot be read", error=str(error).split("\n")[0])
        if moved := self.markets.take_moved():
            self._begin_again(moved)

    def _begin_again(self, symbols: set[str]) -> None:
        """The channels of markets that are in another group now; their clients get a new epoch there."""
        log.info("markets have moved to other groups", symbols=sorted(symbols))
        old = {key: channel for key, channel in self._channels.items() if key[0].symbol in symbols}
        for key, channel in old.items():  # all first, so that no book of theirs is kept
            del self._channels[key]
            self._routes.remove(channel)
            channel.close()
        for (name, user), channel in old.items():
            if channel.subscribers:
                new = self._channels[name, user] = self._factory.make(name, user)
                for connection in self._connections:
                    if connection.channels.get(str(name)) is channel:
                        connection.channels[str(name)] = new
                        new.join(connection)
                new.open()

    async def _sign_of_life(self) -> None:
        alive = msgspec.json.encode({"timestamp": now_text(), "connections": len(self._connections)})
        try:
            await self._redis.set(redis_keys.STREAM_ALIVE, alive, ex=ALIVE_SECONDS)
        except redis.RedisError as error:
            if self._redis_answers:
                log.warning("redis is away", error=str(error))
            self._redis_answers = False
        else:
            self._redis_answers = True
