"""What is done to the stack, and in which order.

    matcher-alpha, matcher-beta, web, stream, worker (Celery), beat, postgres, valkey
                     kill -9 of that process
    web-child        … of the process that serves, under granian's main one
    backend          … of a server process of PostgreSQL, which then ends all sessions and recovers
    A + B            both, at once or up to `APART` seconds apart
    everything       kill -9 of every process of the stack
    session          a session is ended with pg_terminate_backend
    pg-restart       a fast restart of PostgreSQL
    flush            FLUSHALL, while the matchers stand still, so that commands in the streams are lost
    stall            nothing commits for some seconds, and what then does is lost by a flush
    stutter          Valkey stands still again and again, about as long as anybody waits for it
    valkey-paused    SIGSTOP of Valkey for some seconds: it takes connections and answers nothing
    valkey-down      no Valkey for some seconds

What is killed comes back by itself.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import combinations

import psycopg
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from exchange.embedded.stack import MATCHER, Stack

PROCESSES = ("matcher-alpha", "matcher-beta", "web", "stream", "worker", "beat", "postgres", "valkey")
KILLS = (*PROCESSES, "web-child", "backend")
SINGLES = (*KILLS, "session", "everything", "pg-restart", "flush", "stall", "stutter")
LASTING = ("valkey-paused", "valkey-down")
PAIR = " + "

APART = 0.4
STARTED_SECONDS = 30.0
STANDSTILL = 0.3  # seconds of load that a flush takes away from the matchers
STALL_SECONDS = 4.0
STUTTERS, STUTTER_SECONDS = 6, (0.08, 0.16)
BETWEEN_STUTTERS = 1.2  # seconds; by then everybody uses Valkey again

_SESSIONS = """
    SELECT pid FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND application_name LIKE 'exchange%' ORDER BY pid"""


def is_fault(name: str) -> bool:
    parts = name.split(PAIR)
    return name in SINGLES or name in LASTING or (len(parts) == 2 and all(part in KILLS for part in parts))


def plan(rounds: int, chance: random.Random) -> list[str]:
    """That many faults in random order: the lasting ones once, the single ones and pairs, and these again."""
    pairs = [PAIR.join(pair) for pair in combinations(KILLS, 2)]
    names = [*LASTING]
    while len(names) < rounds:
        chance.shuffle(pairs)
        names += [*SINGLES, *pairs]
    names = names[:rounds]
    chance.shuffle(names)
    return names


class Injector:
    """Does things to a stack. `away_seconds` is how long Valkey is away in the faults that last."""

    def __init__(self, stack: Stack, chance: random.Random, away_seconds: float) -> None:
        self._stack = stack
        self._chance = chance
        self._away_seconds = away_seconds
        self._pause = threading.Event()

    def strike(self, name: str) -> None:
        """Returns when the fault is over; what it killed may not be back yet."""
        match name.split(PAIR):
            case [first, second]:
                parts = [first, second]
                self._chance.shuffle(parts)
                self.strike(parts[0])
                self._pause.wait(self._chance.choice([0, self._chance.uniform(0, APART)]))
                self.strike(parts[1])
            case ["web-child"]:
                self._kill_web_child()
            case ["backend"]:
                _signal(self._any_session(), signal.SIGKILL)
            case ["session"]:
                self._end_session()
            case ["everything"]:
                self._kill_everything()
            case ["pg-restart"]:
                self._kill("postgres", signal.SIGINT)
            case ["flush"]:
                self._flush()
            case ["stall"]:
                self._stall()
            case ["stutter"]:
                self._stutter()
            case ["valkey-paused"]:
                with self._halted("valkey"):
                    self._pause.wait(self._away_seconds)
            case ["valkey-down"]:
                self._stop_valkey()
            case _:
                self._kill(name)

    def _kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        self._wait_started(name)
        self._stack.kill(name, number)

    def _kill_web_child(self) -> None:
        self._wait_started("web", count=2)
        _signal(self._stack.pids("web")[-1], signal.SIGKILL)

    def _end_session(self) -> None:
        with psycopg.connect(self._stack.superuser(), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", [self._any_session()])

    def _kill_everything(self) -> None:
        names = self._stack.names
        self._chance.shuffle(names)
        for name in names:
            self._stack.kill(name)

    def _flush(self) -> None:
        with self._halted(*self._matchers()):
            self._pause.wait(STANDSTILL)
            self._valkey().flushall()

    def _stall(self) -> None:
        with psycopg.connect(self._stack.env["DATABASE_URL"]) as connection:
            connection.execute("LOCK TABLE trading_account IN EXCLUSIVE MODE")
            self._pause.wait(STALL_SECONDS)
            with self._halted(*self._matchers()):
                connection.commit()
                self._pause.wait(STANDSTILL)
                self._valkey().flushall()

    def _stutter(self) -> None:
        for _ in range(STUTTERS):
            with self._halted("valkey"):
                self._pause.wait(self._chance.uniform(*STUTTER_SECONDS))
            self._pause.wait(BETWEEN_STUTTERS)

    def _stop_valkey(self) -> None:
        self._wait_started("valkey")
        self._stack.stop("valkey")
        try:
            self._pause.wait(self._away_seconds)
        finally:
            self._stack.start("valkey")

    @contextmanager
    def _halted(self, *names: str) -> Iterator[None]:
        """Processes that stand still meanwhile."""
        for name in names:
            self._wait_started(name)
            self._stack.kill(name, signal.SIGSTOP)
        try:
            yield
        finally:
            for name in names:
                self._stack.kill(name, signal.SIGCONT)

    def _matchers(self) -> list[str]:
        return [MATCHER + group for group in self._stack.groups]

    def _valkey(self) -> redis.Redis:
        """A client that waits for it to come back."""
        patience = Retry(ConstantBackoff(0.05), int(STARTED_SECONDS / 0.05))
        return redis.Redis.from_url(self._stack.env["REDIS_URL"], retry=patience)

    def _any_session(self) -> int:
        """The id of the server process of one of our sessions, as soon as there are any."""
        deadline = time.monotonic() + STARTED_SECONDS
        while True:
            try:
                with psycopg.connect(self._stack.superuser()) as connection:
                    sessions = connection.execute(_SESSIONS).fetchall()
            except psycopg.OperationalError:  # another fault has ended it too
                sessions = []
            if sessions:
                return int(self._chance.choice(sessions)[0])
            assert time.monotonic() < deadline, "nobody uses PostgreSQL"
            self._pause.wait(0.02)

    def _wait_started(self, name: str, count: int = 1) -> None:
        deadline = time.monotonic() + STARTED_SECONDS
        while len(self._stack.pids(name)) < count:
            assert time.monotonic() < deadline, f"{name} does not run"
            self._pause.wait(0.02)


def _signal(pid: int, number: signal.Signals) -> None:
    """To a process that may have ended meanwhile."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
