"""A Kafka cluster in a process of its own, and a reader who sees what is on its topics."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from exchange.base.ports import find_free
from exchange.embedded.stack import PROJECT
from exchange.platform.events import kafka

SECONDS = 90.0  # on a busy machine


class Seen(NamedTuple):
    topic: str
    key: str
    envelope: dict[str, Any]


class Cluster:
    """Start it, kill it, start it again: the address stays, what was in it does not."""

    def __init__(self, *topics: str, partitions: int = 3) -> None:
        self.port = find_free()
        self.brokers = f"127.0.0.1:{self.port}"
        self._arguments = [str(self.port), str(partitions), *topics]
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "exchange.embedded.broker", *self._arguments]
        self.process = subprocess.Popen(
            command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith(b"listening")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def producer(self) -> Producer:
        return kafka.producer(**{"bootstrap.servers": self.brokers})


@contextmanager
def cluster(*topics: str, partitions: int = 3) -> Iterator[Cluster]:
    running = Cluster(*topics, partitions=partitions)
    try:
        yield running
    finally:
        running.kill()


class Reader:
    """Reads the topics from their beginning, outside of any consumer group."""

    def __init__(self, brokers: str, *topics: str) -> None:
        self._consumer: Consumer = kafka.consumer("reader", **{"bootstrap.servers": brokers})
        known = self._consumer.list_topics(timeout=SECONDS).topics
        self._consumer.assign(
            [TopicPartition(topic, number, 0) for topic in topics for number in known[topic].partitions]
        )
        self.seen: list[Seen] = []

    def until(self, enough: Callable[[list[Seen]], bool], seconds: float = SECONDS) -> list[Seen]:
        """All that was seen when it was enough."""
        deadline = time.monotonic() + seconds
        while not enough(self.seen):
            assert time.monotonic() < deadline, f"only {len(self.seen)} messages"
            self._read(0.1)
        return self.seen

    def count(self, number: int) -> list[Seen]:
        return self.until(lambda seen: len(seen) >= number)

    def rest(self, seconds: float = 0.5) -> list[Seen]:
        """All that comes within so many seconds of quiet."""
        while self._read(seconds):
            pass
        return self.seen

    def close(self) -> None:
        self._consumer.close()

    def _read(self, seconds: float) -> bool:
        messages = self._consumer.consume(1000, seconds)
        for message in messages:
            if error := message.error():
                assert error.code() == KafkaError._PARTITION_EOF or error.retriable(), error
                continue
            topic, key, value = message.topic(), message.key(), message.value()
            assert topic is not None and isinstance(key, bytes) and value is not None
            self.seen.append(Seen(topic, key.decode(), msgspec.json.decode(value)))
        return bool(messages)


def firsts(seen: list[Seen]) -> dict[tuple[str, str], list[Any]]:
    """By topic and key: the `number` of each payload, where it came for the first time."""
    found: dict[tuple[str, str], list[Any]] = {}
    for topic, key, envelope in seen:
        numbers = found.setdefault((topic, key), [])
        if envelope["payload"]["number"] not in numbers:
            numbers.append(envelope["payload"]["number"])
    return found
