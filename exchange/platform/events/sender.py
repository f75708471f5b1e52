"""Sends events to Kafka and says what became of each: it is there, it was refused, or it is not known yet.

Order within a key is the producer's promise (`kafka.producer`): it keeps each partition in sequence, and after a
message that the cluster refused it sends nothing more. Such a producer is thrown away, as is one whose messages did
not get through in time; what it had not sent is then left to the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

PATIENCE = 5.0  # seconds for a batch to get through
_LAST_WORDS = 1.0  # seconds for a purged producer to report

# What says something about the cluster or the connection, and nothing about the message.
_CLUSTER = frozenset(
    {
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._FATAL,
        KafkaError._GAPLESS_GUARANTEE,
        KafkaError._STATE,
        KafkaError._DESTROY,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._QUEUE_FULL,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaError.UNKNOWN_PRODUCER_ID,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
    }
)


class Row(NamedTuple):
    """An event of the outbox; `tries` that failed."""

    id: int
    topic: str
    key: str
    message: str
    tries: int


@dataclass
class Outcome:
    """`arrived`: acknowledged. `refused`: ids and why. `cut_off`: the cluster did not take all of the rest in time.
    What is in neither stays as it was."""

    arrived: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    cut_off: str = ""


class Sender:
    def __init__(self, connect: Callable[[], Producer]) -> None:
        self._connect = connect
        self._producer: Producer | None = None
        self._failed: list[tuple[bytes, KafkaError]] = []

    def ask(self, seconds: float) -> None:
        """Raises KafkaException if no broker answers in time."""
        self._live().list_topics(timeout=seconds)

    def serve(self) -> None:
        """Let the producer say what it has to: its log comes through here."""
        if self._producer is not None:
            self._producer.poll(0)

    def send(self, rows: Sequence[Row]) -> Outcome:
        """`rows` in order. Of a key nothing is sent after an event that was refused."""
        outcome = Outcome()
        self._failed = []
        producer = self._live()
        held: set[tuple[str, str]] = set()
        sent: list[Row] = []
        for row in rows:
            if (row.topic, row.key) in held:
                continue
            try:
                producer.produce(row.topic, row.message, row.key, on_delivery=self._delivered)
            except KafkaException as error:
                if _of_cluster(error.args[0]):
                    outcome.cut_off = error.args[0].str()
                    break
                outcome.refused[row.id] = error.args[0].str()
                held.add((row.topic, row.key))
            else:
                sent.append(row)
        outcome.cut_off = self._wait(producer) or outcome.cut_off
        self._sort(sent, outcome)
        if self._failed or outcome.cut_off:
            self.close()
        return outcome

    def close(self) -> None:
        """Give the producer up, with what is in it."""
        if self._producer is not None:
            _empty(self._producer)
            self._producer = None

    def _live(self) -> Producer:
        if self._producer is None:
            self._producer = self._connect()
        return self._producer

    def _wait(self, producer: Producer) -> str:
        """Until each message is acknowledged or refused; else why not."""
        deadline = time.monotonic() + PATIENCE
        while _flush(producer, 0.1):
            if self._failed or time.monotonic() > deadline:
                _empty(producer)
                late = self._failed and self._failed[0][1].code() in _PURGED
                return f"no answer in {PATIENCE:g} s" if late else ""
        return ""

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append((message.value() or b"", error))

    def _sort(self, sent: Sequence[Row], outcome: Outcome) -> None:
        if not self._failed:
            outcome.arrived = [row.id for row in sent]
            return
        failed = dict(self._failed)
        for row in sent:
            error = failed.get(row.message.encode())
            if error is None:
                outcome.arrived.append(row.id)
            elif _of_cluster(error):
                outcome.cut_off = outcome.cut_off or error.str()
            else:
                outcome.refused[row.id] = error.str()


_PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)


def _flush(producer: Producer, seconds: float) -> int:
    """How many messages are neither acknowledged nor refused after that time."""
    try:
        return producer.flush(seconds)
    except (
        KafkaException
    ) as error:  # a fatal one is raised once; what it means for each message is reported too
        if not error.args[0].fatal():
            raise
        return len(producer)


def _empty(producer: Producer) -> None:
    """Have everything in it reported as failed."""
    producer.purge()
    deadline = time.monotonic() + _LAST_WORDS
    while left := _flush(producer, 0.1):
        assert time.monotonic() < deadline, f"{left} messages of a purged producer are not accounted for"


def _of_cluster(error: KafkaError) -> bool:
    return error.fatal() or error.code() in _CLUSTER
