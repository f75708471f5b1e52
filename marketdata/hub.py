"""All WebSocket connections of this process, and the heartbeat that each of them gets every second.

A message is serialised once and handed to every connection. The heartbeat's counter goes up by one each time,
so a client sees that it missed something, or that it is connected to another process.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Protocol

import msgspec
import redis
import structlog

from exchange import metrics
from exchange.redis import connect_async

HEARTBEAT_SECONDS = 1.0
ALIVE_KEY = "stream"  # read by exchange.health
ALIVE_SECONDS = 5

log = structlog.get_logger(__name__)


class Connection(Protocol):
    async def tell(self, text: str) -> None:
        """Hand over one message; does not wait for the client."""


class Hub:
    def __init__(self) -> None:
        self._connections: set[Connection] = set()
        self._counter = 0
        self._redis = connect_async()
        self._redis_answers = True

    def join(self, connection: Connection) -> None:
        self._connections.add(connection)
        metrics.connections.set(len(self._connections))

    def leave(self, connection: Connection) -> None:
        self._connections.discard(connection)
        metrics.connections.set(len(self._connections))

    async def run(self) -> None:
        """Beat until cancelled."""
        clock = asyncio.get_running_loop()
        due = clock.time()
        while True:
            await self._beat()
            due = max(due + HEARTBEAT_SECONDS, clock.time())
            await asyncio.sleep(due - clock.time())

    async def _beat(self) -> None:
        self._counter += 1
        now = datetime.now(UTC)
        beat = {"type": "HEARTBEAT", "counter": self._counter, "timestamp": now}
        text = msgspec.json.encode(beat).decode()
        for connection in list(self._connections):
            await connection.tell(text)
        alive = msgspec.json.encode({"timestamp": now, "connections": len(self._connections)})
        try:
            await self._redis.set(ALIVE_KEY, alive, ex=ALIVE_SECONDS)
        except redis.RedisError as error:
            if self._redis_answers:
                log.warning("redis is away", error=str(error))
            self._redis_answers = False
        else:
            self._redis_answers = True
