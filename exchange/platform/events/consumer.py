"""A member of a consumer group: takes what Kafka brings and hands it to the group's handlers.

    fetch ── one transaction: mark as handled, run the handlers ── then, and only then, the offsets
      └─ it failed: halves, down to the event that fails, and its partition waits while the others go on
                      └─ tried too often, or poison: a dead letter, acknowledged, and the partition goes on

Batches are natural: all that has arrived, up to a bound. An event that is tried again holds back its whole
partition, so the order of its key is kept. While the database is away every partition waits, and that counts
as no try. Killed at any point, what was not committed comes again, and what was handled is known by its
row (`exchange.platform.events.exactly_once`); so neither is anything lost nor are effects doubled.

Known limits: tries are counted in memory, so they begin again with another owner of the partition; and a dead
letter may be written twice if we are killed between its acknowledgement and the offset.

Why it is so: docs/decisions/010-exactly-once-consumers.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaException, Producer, TopicPartition
from django.db import connection

from exchange.base import metrics
from exchange.platform.events import dlq, event, exactly_once, kafka, lag, prune
from exchange.platform.events.event import Handler, Place, Poison, Record
from exchange.platform.events.retry import AWAY_SECONDS, Retry, database_away

BATCH = 500  # events in one transaction
COLLECT_SECONDS = 0.05  # after a small batch, so that the next is worth its transaction
POLL_SECONDS = 0.2  # a quiet consumer looks this often whether it is to stop
COMMIT_SECONDS = 0.2  # between commits of offsets: what comes again after a crash is known by its row
LAG_SECONDS = 5.0
METADATA_SECONDS = 5.0

SETTINGS = {
    "fetch.wait.max.ms": 50,  # a real broker answers as soon as there is something, the embedded one only then
    "session.timeout.ms": 6000,  # so long others wait for a member that was killed; brokers allow no less
    "heartbeat.interval.ms": 1000,
}

Handlers = Mapping[tuple[str, str], Handler]  # by topic and event type

log = structlog.get_logger(__name__)


@dataclass
class Waiting:
    """What a partition has brought and is not handled yet, in order; tried again when it is `due`."""

    records: list[Record]
    due: float


class Consumer:
    """One thread runs it."""

    def __init__(
        self, group: str, handlers: Handlers, retry: Retry | None = None, collect: float = 0.0
    ) -> None:
        """`collect`: seconds for which more is waited for, so that a transaction is worth its while."""
        self.group = group
        self._collect = collect
        self._handlers = handlers
        self._retry = retry or Retry()
        self._client: Any = None
        self._letters: Producer | None = None
        self._waiting: dict[Place, Waiting] = {}
        self._tries: dict[tuple[Place, int], int] = {}
        self._next: dict[Place, int] = {}  # offsets to be committed
        self._cluster: str | None = None
        self._committed_at = self._looked_at = 0.0
        self._pruner = prune.Pruner(group)

    def run(self, stop: threading.Event) -> None:
        """Until `stop`; then the batch at hand is finished, its offsets are committed and the group is left. A
        database without our tables is an error of ours: it is raised, and no event suffers for it."""
        if not self._found_tables(stop):
            return
        self._client = kafka.consumer(self.group, **SETTINGS)
        try:
            topics = sorted({topic for topic, _ in self._handlers})
            self._client.subscribe(
                topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
            log.info("consuming", group=self.group, topics=topics)
            while not stop.is_set():
                if self._turn() < BATCH:
                    stop.wait(COLLECT_SECONDS)
        finally:
            self._client.close()  # revokes, and so commits
            connection.close()
        log.info("left the group", group=self.group)

    def _found_tables(self, stop: threading.Event) -> bool:
        """False if stopped before the database is there."""
        while not stop.is_set():
            try:
                exactly_once.marked(self.group, [])
            except Exception as error:
                connection.close()
                if not database_away(error):
                    raise
                stop.wait(AWAY_SECONDS)
            else:
                return True
        return False

    def _turn(self) -> int:
        """How many messages it took."""
        records = self._fetch()
        now = time.monotonic()
        for place in [place for place, waiting in self._waiting.items() if waiting.due <= now]:
            self._try_again(place)
        self._work(records)
        if self._next and now - self._committed_at > COMMIT_SECONDS:
            self._commit(list(self._next), wait=False)
            self._committed_at = now
        if now - self._looked_at > LAG_SECONDS:
            lags = self._lags()
            metrics.events_lag.labels(self.group).set(sum(lags.values()))
            lag.publish(self.group, lags)
            self._looked_at = now
        self._pruner.turn()
        return len(records)

    # From Kafka

    def _fetch(self) -> list[Record]:
        """All that has arrived, up to a batch; nothing after a moment without any."""
        due = min((waiting.due for waiting in self._waiting.values()), default=float("inf"))
        first = self._client.poll(max(0.0, min(POLL_SECONDS, due - time.monotonic())))
        if first is None:
            return []
        arrived = (first, *self._client.consume(BATCH - 1, self._collect))
        return [Record.of(message) for message in arrived if self._sound(message)]

    def _sound(self, message: Any) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.fatal():
            raise KafkaException(error)
        log.warning("kafka", group=self.group, error=error.str())
        return False

    def _assigned(self, client: Any, partitions: list[TopicPartition]) -> None:
        """A cluster that is another one than before has lost what it had, and with it what our offsets mean: it
        is read from its beginning."""
        found = client.list_topics(timeout=METADATA_SECONDS).cluster_id
        if self._cluster is not None and found != self._cluster:
            log.warning("another kafka cluster: reading it from its beginning", group=self.group)
            client.assign(
                [TopicPartition(each.topic, each.partition, OFFSET_BEGINNING) for each in partitions]
            )
        self._cluster = found

    def _revoked(self, client: Any, partitions: list[TopicPartition]) -> None:
        places = [(each.topic, each.partition) for each in partitions]
        self._commit([place for place in places if place in self._next], wait=True)
        self._lost(client, partitions)

    def _lost(self, client: Any, partitions: list[TopicPartition]) -> None:
        places = {(each.topic, each.partition) for each in partitions}
        for place in places:
            self._waiting.pop(place, None)
            self._next.pop(place, None)
        self._tries = {at: tries for at, tries in self._tries.items() if at[0] not in places}

    def _commit(self, places: Sequence[Place], *, wait: bool) -> None:
        if not places:
            return
        offsets = [TopicPartition(*place, self._next.pop(place)) for place in places]
        try:
            self._client.commit(offsets=offsets, asynchronous=not wait)
        except KafkaException as error:
            log.warning("offsets not committed", group=self.group, error=str(error))

    def _lags(self) -> dict[str, int]:
        """Messages that we know of and have not handled, by partition."""
        lags = {}
        for at in self._client.position(self._client.assignment()):
            _, end = self._client.get_watermark_offsets(at, cached=True)
            behind = max(0, end - at.offset) if at.offset >= 0 and end >= 0 else 0
            waiting = self._waiting.get((at.topic, at.partition))
            lags[f"{at.topic}/{at.partition}"] = behind + (len(waiting.records) if waiting else 0)
        return lags

    # To the handlers

    def _work(self, records: Sequence[Record]) -> None:
        """Handle these, in order. What fails has its partition wait, with all of it that is behind."""
        records = self._without_waiting(records)
        if not records:
            return
        try:
            self._handle(records)
        except Exception as error:
            if database_away(error):
                log.warning("the database is away", group=self.group, error=type(error).__name__)
                connection.close()
                self._wait(records, AWAY_SECONDS)
            elif len(records) == 1:
                self._failed(records[0], error)
            else:
                half = len(records) // 2
                self._work(records[:half])
                self._work(records[half:])
        else:
            self._done(records)

    def _handle(self, records: Sequence[Record]) -> None:
        work = []
        for record in records:
            handler = self._handlers.get((record.topic, event.event_type(record.value)))
            if handler is not None:
                work.append((handler, event.read(record.topic, record.key, record.value)))
        if not work:
            return
        new = exactly_once.handle(self.group, work)
        metrics.events_handled.labels(self.group).inc(new)
        metrics.events_repeated.labels(self.group).inc(len(work) - new)
        now, seconds = datetime.now(UTC), metrics.events_seconds.labels(self.group)
        for _, each in work:
            seconds.observe((now - each.moment).total_seconds())

    def _failed(self, record: Record, error: Exception) -> None:
        at = (record.place, record.offset)
        tries = self._tries[at] = self._tries.get(at, 0) + 1
        metrics.events_failed.labels(self.group).inc()
        # What the error says may quote the event: that goes with the letter, not into the log.
        facts = {"group": self.group, "topic": record.topic, "partition": record.place[1]}
        facts |= {"offset": record.offset, "tries": tries, "error": type(error).__name__}
        if tries < self._retry.tries and not isinstance(error, Poison):
            log.warning("event failed", **facts)
            self._wait([record], self._retry.delay(tries))
            return
        self._letters = self._letters or dlq.producer()
        try:
            dlq.send(self._letters, record, group=self.group, tries=tries, error=error)
        except dlq.NotSent as problem:
            log.warning("dead letter not sent", **facts, problem=str(problem))
            self._wait([record], AWAY_SECONDS)
            return
        metrics.events_dead.labels(self.group).inc()
        log.error("event set aside", **facts)
        self._done([record])

    def _done(self, records: Sequence[Record]) -> None:
        for record in records:
            self._next[record.place] = record.offset + 1
            self._tries.pop((record.place, record.offset), None)

    def _wait(self, records: Sequence[Record], seconds: float) -> None:
        """Their partitions bring nothing more until these have been tried again."""
        due = time.monotonic() + seconds
        for record in records:
            if record.place not in self._waiting:
                self._waiting[record.place] = Waiting([], due)
                self._client.pause([TopicPartition(*record.place)])
            self._waiting[record.place].records.append(record)

    def _without_waiting(self, records: Sequence[Record]) -> list[Record]:
        """Those whose partition does not wait; the others wait behind what it waits for."""
        free = []
        for record in records:
            waiting = self._waiting.get(record.place)
            if waiting is None:
                free.append(record)
            else:
                waiting.records.append(record)
        return free

    def _try_again(self, place: Place) -> None:
        first, *others = self._waiting.pop(place).records
        self._work([first])
        self._work(others)
        if place not in self._waiting:
            self._client.resume([TopicPartition(*place)])
