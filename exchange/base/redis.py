"""How this system talks to Redis: one place for the address, the timeouts, and for what to do when it is
away.

Redis makes things fast and holds no truth, so no request may wait for it: timeouts are short, nothing is retried,
and a caller that can do without it asks `away` first, so that a dead Redis costs one short wait a second and not
one a request.
"""

from __future__ import annotations

import asyncio
import threading
import time
from functools import cache
from typing import Any, Protocol

import redis
import redis.asyncio
import structlog
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from exchange.base.env import env

TIMEOUT = 0.1  # seconds
RETRY_AFTER = 1.0  # seconds

log = structlog.get_logger(__name__)


def connect(**overrides: Any) -> redis.Redis:
    """A client with a pool of its own; it answers bytes. Blocking readers pass a longer `socket_timeout`."""
    return redis.Redis.from_url(env.redis_url, **(_options(Retry(NoBackoff(), 0)) | overrides))


def connect_async(**overrides: Any) -> redis.asyncio.Redis:
    """The same for asyncio."""
    return redis.asyncio.Redis.from_url(env.redis_url, **(_options(AsyncRetry(NoBackoff(), 0)) | overrides))


def cancelled() -> bool:
    """Whether this task was cancelled: for loops around an asyncio client. Its `asyncio.wait_for` may swallow that,
    in Python 3.11 (python/cpython#86296), and a task is cancelled once only."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _options(retry: Retry | AsyncRetry) -> dict[str, Any]:
    return {
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        "socket_keepalive": True,
        "retry": retry,
        "protocol": 2,
    }


@cache
def client() -> redis.Redis:
    """The client that this process shares: safe across threads, for short commands."""
    return connect()


class Circuit:
    """Remembers that Redis failed. Safe across threads.

    After a failure `away` is true for a second; then one caller is let through to try, and the others still
    see it away until that one has reported `works` or `failed`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = True
        self._next_try = 0.0

    def away(self) -> bool:
        if self._closed:
            return False
        with self._lock:
            now = time.monotonic()
            if now < self._next_try:
                return True
            self._next_try = now + RETRY_AFTER
            return False

    def failed(self, error: Exception) -> None:
        with self._lock:
            was_closed, self._closed = self._closed, False
            self._next_try = time.monotonic() + RETRY_AFTER
        if was_closed:
            log.warning("redis is away", error=str(error))

    def works(self) -> None:
        if not self._closed:
            self._closed = True
            log.info("redis is back")


class PipelinedRead(Protocol):
    """Commands that go to Redis together with others', in one round trip."""

    def queue(self, pipe: Pipeline) -> None: ...

    def receive(self, answers: list[Any]) -> None:
        """One for each command that was queued."""

    def unavailable(self) -> None:
        """Redis is away."""


def run_together(client: redis.Redis, circuit: Circuit, *reads: PipelinedRead) -> None:
    """Send the commands of all in one round trip; nothing is sent if there are none."""
    if circuit.away():
        for read in reads:
            read.unavailable()
        return
    pipe = client.pipeline(transaction=False)
    ends = []
    for read in reads:
        read.queue(pipe)
        ends.append(len(pipe))
    try:
        answers = pipe.execute()
    except redis.RedisError as error:
        circuit.failed(error)
        for read in reads:
            read.unavailable()
        return
    circuit.works()
    for read, begin, end in zip(reads, [0, *ends], ends, strict=False):
        read.receive(answers[begin:end])
