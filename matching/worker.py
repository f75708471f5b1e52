"""The matching worker: one process per symbol group, the only one that applies the group's commands.

    read a batch → what is still pending → core applies it in memory → settle in one transaction → publish

Crash-only: what the worker knows is what PostgreSQL knows. If anything fails between reading and settling,
the books in memory are thrown away and rebuilt; they are never patched. A core assertion ends the process.

Two workers of a group can't do harm: the second waits for the advisory lock, and a settlement under an
old epoch fails. When Redis is away the worker polls the inbox table: slower, not broken.

Markets come and go while it runs. It looks each second, and when a command names one that it does not know: a
new market gets a book; one that was moved here or away has raised the epoch, so everything is read again. A
command for a market that is another group's by now is passed on.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import django.db
import psycopg
import redis
import structlog
from redis.client import Pipeline

from exchange.base import metrics
from exchange.base.times import now_text
from matching import feed, stream
from matching.codec import Envelope, Reply
from matching.core.commands import Adopt, Release
from matching.core.engine import Engine
from matching.core.events import Event
from matching.core.scale import InstrumentScale
from matching.snapshot import SNAPSHOT_SECONDS, SnapshotWriter

log = structlog.get_logger(__name__)

Applied = tuple[Envelope, int, list[Event]]


class Settled(Protocol):
    """What came of a batch, for those who wait and read."""

    @property
    def now(self) -> str:
        """When its trades were executed, in UTC."""

    @property
    def replies(self) -> list[tuple[str, Reply]]:
        """With the channels that wait for them."""

    @property
    def trade_notes(self) -> list[feed.TradeNote]: ...

    @property
    def order_notes(self) -> list[feed.OrderNote]: ...


MOVES = (Release, Adopt)
POLL_SECONDS = 0.02
RETRY_SECONDS = 1.0


class Overtaken(psycopg.errors.SerializationFailure):
    """Another process has written for the group under a newer epoch: a worker, or the move of a market."""


class Recovered(Protocol):
    """A group's state as PostgreSQL has it, owned under a new epoch."""

    engine: Engine
    epoch: int
    sequence: int
    position: str

    @property
    def symbols(self) -> Mapping[int, tuple[str, InstrumentScale]]:
        """Symbol and scale of each instrument, for what readers are shown."""


class Settlement(Protocol):
    """What the worker needs of the trading side; every method may raise psycopg.Error."""

    def take_over(self) -> Recovered:
        """Wait for the group's lock, raise the epoch, rebuild the books."""

    def still_pending(self, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Those whose command has not been applied, in order, each once."""

    def settle(
        self, applied: Sequence[Applied], position: str, changes: Sequence[feed.BookChange]
    ) -> Settled:
        """Make it durable in one transaction, and with it what changed in the books."""

    def announce(self, pipe: Pipeline, settled: Any) -> None:
        """Queue what the trading side itself keeps in Redis."""

    def found_redis(self, client: redis.Redis) -> None:
        """Redis answers, at first or again: what was announced before may be lost."""

    def renew(self) -> bool:
        """Take in what is new in the group, into what `take_over` gave; False if the epoch is another's by now."""

    def pass_on(self, envelopes: Sequence[Envelope]) -> dict[str, list[Envelope]]:
        """Commands that are another group's, made durable as theirs; by group, for their streams."""

    def inbox(self) -> list[Envelope]:
        """All commands of the group that PostgreSQL knows to be pending, oldest first."""

    def close(self) -> None: ...


class Worker:
    def __init__(
        self, group: str, settlement: Settlement, client: redis.Redis, snapshots: SnapshotWriter
    ) -> None:
        self.group = group
        self._settlement = settlement
        self._client = client
        self._stream = stream.CommandStream(client, group)
        self._snapshots = snapshots
        self._redis_retry_at = 0.0
        self._snapshot_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Match until `stop` is set; on a failed settlement or a lost database, take over again."""
        while not stop.is_set():
            try:
                self._take_over()
                _settle_memory()
                while not stop.is_set():
                    self._step(stop)
            except InterruptedError:
                break
            except Overtaken as error:
                log.info("books are read anew", group=self.group, reason=str(error))
                metrics.rebuilds.inc()
            except (psycopg.Error, django.db.Error) as error:
                log.error(
                    "settlement failed, books thrown away", group=self.group, error=str(error).split("\n")[0]
                )
                metrics.rebuilds.inc()
                self._settlement.close()
                stop.wait(RETRY_SECONDS)
        self._settlement.close()

    def _take_over(self) -> None:
        started = time.monotonic()
        state = self._settlement.take_over()
        self._engine, self._sequence, self._position = state.engine, state.sequence, state.position
        self._connected = False
        for instrument in self._engine.books:
            _book_change(self._engine, instrument)  # that the books were filled is no change of theirs
        self._state = state
        self._snapshots.epoch, self._snapshots.symbols = state.epoch, state.symbols
        log.info(
            "took over",
            group=self.group,
            sequence=self._sequence,
            orders=sum(len(book.orders) for book in self._engine.books.values()),
            seconds=round(time.monotonic() - started, 3),
        )

    def _step(self, stop: threading.Event) -> None:
        position, envelopes = self._read(stop)
        if envelopes:
            self._process(position, envelopes)
        if time.monotonic() >= self._snapshot_at:
            self._snapshot()

    def _read(self, stop: threading.Event) -> tuple[str, list[Envelope]]:
        if time.monotonic() >= self._redis_retry_at:
            try:
                if not self._connected:
                    self._position = self._stream.starting_point(self._position)
                    self._settlement.found_redis(self._client)
                    self._connected = True
                    return self._position, self._settlement.inbox()
                wait = max(0.001, self._snapshot_at - time.monotonic())
                return self._stream.read(self._position, int(wait * 1000))
            except redis.RedisError as error:
                self._lost_redis(error)
        stop.wait(POLL_SECONDS)
        return self._position, self._settlement.inbox()

    def _process(self, position: str, envelopes: list[Envelope]) -> None:
        applied: list[Applied] = []
        sequence = self._sequence
        if any(isinstance(envelope.command, MOVES) for envelope in envelopes):
            self._renew()
        pending = self._settlement.still_pending(envelopes)
        if any(envelope.command.instrument not in self._engine.books for envelope in pending):
            self._renew()
            pending = self._ours(pending)
        for envelope in pending:
            sequence += 1
            applied.append((envelope, sequence, self._engine.apply(envelope.command, sequence)))
        if applied:
            instruments = {envelope.command.instrument for envelope in pending}
            changes = [_book_change(self._engine, instrument) for instrument in instruments]
            changes = [change for change in changes if change.bids or change.asks]
            started = time.perf_counter()
            settled = self._settlement.settle(applied, position, changes)
            metrics.settlement_seconds.observe(time.perf_counter() - started)
            metrics.settlement_batch.observe(len(applied))
            metrics.commands.inc(len(applied))
            self._tell(settled, sequence, instruments, changes)
        self._sequence, self._position = sequence, position

    def _renew(self) -> None:
        """Take new markets in. Raises Overtaken when that is not enough."""
        if not self._settlement.renew():
            raise Overtaken("another has written for it, or a market was moved")
        self._snapshots.symbols = self._state.symbols

    def _ours(self, pending: list[Envelope]) -> list[Envelope]:
        """Without those for markets of other groups, which are passed on."""
        books = self._engine.books
        if strange := [envelope for envelope in pending if envelope.command.instrument not in books]:
            passed = self._settlement.pass_on(strange)
            log.info(
                "commands for markets of other groups",
                group=self.group,
                commands=len(strange),
                passed={group: len(theirs) for group, theirs in passed.items()},
            )
            if self._connected and passed:
                try:
                    stream.send(self._client, passed)
                except redis.RedisError as error:
                    self._lost_redis(error)
        return [envelope for envelope in pending if envelope.command.instrument in books]

    def _tell(
        self, settled: Settled, sequence: int, instruments: set[int], changes: list[feed.BookChange]
    ) -> None:
        if not self._connected:
            return
        batch = feed.Batch(
            self.group,
            self._snapshots.epoch,
            self._sequence,
            sequence,
            now_text(),
            changes,
            settled.trade_notes,
            settled.order_notes,
            settled.now,
        )
        pipe = self._client.pipeline(transaction=False)
        stream.publish(
            pipe, settled.replies, {each: self._snapshots.top(self._engine, each) for each in instruments}
        )
        feed.publish(pipe, batch)
        self._settlement.announce(pipe, settled)
        try:
            pipe.execute()
        except redis.RedisError as error:
            self._lost_redis(error)

    def _snapshot(self) -> None:
        self._snapshot_at = time.monotonic() + SNAPSHOT_SECONDS
        self._renew()
        if self._connected:
            try:
                self._snapshots.write(self._engine, self._sequence)
                self._stream.trim(self._position)
            except redis.RedisError as error:
                self._lost_redis(error)

    def _lost_redis(self, error: redis.RedisError) -> None:
        if self._connected or not self._redis_retry_at:
            log.warning("redis is away, polling the inbox", group=self.group, error=str(error))
        self._connected = False
        self._redis_retry_at = time.monotonic() + RETRY_SECONDS


def _settle_memory() -> None:
    """What was rebuilt lives long: no collection has to look at it. What it takes the place of is let go."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _book_change(engine: Engine, instrument: int) -> feed.BookChange:
    book = engine.books[instrument]
    return feed.BookChange(instrument, book.bids.take_changes(), book.asks.take_changes())
