"""What Celery does for events: a run of the relay, and letting go of what was published long ago."""

from __future__ import annotations

import threading
import time
from functools import cache

import django.db
import msgspec
import psycopg
import redis
import structlog
from celery import shared_task

from exchange.base import metrics, redis_keys
from exchange.base.database import connect
from exchange.base.redis import Circuit, client
from exchange.base.times import now_text
from exchange.platform.events import cluster, kafka, retention, selectors
from exchange.platform.events.relay import BATCH, Relay
from exchange.platform.events.sender import Sender
from exchange.platform.events.wakeup import POKED, TASK, enabled

RUN_SECONDS = 1.0  # then it gives way to the next in the queue
COLLECT_SECONDS = 0.02  # after a small batch, so that the next is worth its transaction
ALIVE_SECONDS = 5
BEAT_SECONDS, MEASURE_SECONDS = 1.0, 5.0

log = structlog.get_logger(__name__)


@shared_task(name=TASK)
def relay() -> int:
    """Send what the outbox has; how many events arrived. What fails is done by the next run."""
    return runner().run() if enabled else 0


@shared_task(name="events.drop_published")
def drop_published() -> list[str]:
    """The partitions of the outbox that went."""
    gone = retention.drop_published()
    if gone:
        log.info("published events let go", partitions=gone)
    return gone


class Runner:
    def __init__(self) -> None:
        self._sender = Sender(kafka.producer)
        self._relay = Relay(lambda: connect("exchange relay"), self._sender, cluster.create_topics)
        self._circuit = Circuit()
        self._pause = threading.Event()
        self._database = True
        self._beat_at = self._measure_at = 0.0

    def run(self) -> int:
        self._tell()
        sent, until = 0, time.monotonic() + RUN_SECONDS
        try:
            while arrived := self._relay.batch():
                sent += arrived
                if time.monotonic() > until:
                    break
                if arrived < BATCH:
                    self._pause.wait(COLLECT_SECONDS)
            self._sender.serve()
            self._measure()
        except (psycopg.Error, django.db.Error) as error:
            if self._database:
                log.warning("outbox could not be read", error=str(error).split("\n")[0])
            self._database = False
            return sent
        self._database = True
        return sent

    def close(self) -> None:
        """Let go of the database and of Kafka; the next run opens them again."""
        self._relay.close()
        self._sender.close()

    def _tell(self) -> None:
        """We run; and what is committed from now on wakes it again."""
        if self._circuit.away():
            return
        try:
            client().delete(POKED)
            if time.monotonic() > self._beat_at:
                self._beat_at = time.monotonic() + BEAT_SECONDS
                alive = {"timestamp": now_text(), "kafka": not self._relay.away}
                client().set(redis_keys.RELAY_ALIVE, msgspec.json.encode(alive), ex=ALIVE_SECONDS)
        except redis.RedisError as error:
            self._circuit.failed(error)
        else:
            self._circuit.works()

    def _measure(self) -> None:
        if time.monotonic() < self._measure_at:
            return
        self._measure_at = time.monotonic() + MEASURE_SECONDS
        state = selectors.state()
        metrics.outbox_pending.set(state.pending)
        metrics.outbox_oldest_seconds.set(state.oldest_seconds)
        metrics.outbox_failed.set(state.failed)


@cache
def runner() -> Runner:
    return Runner()
