"""A plain consumer: every message of every topic from the beginning, written down in the order in which it comes."""

from __future__ import annotations

import threading
from typing import NamedTuple

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from exchange.platform.events.topics import TOPICS, dlq

POLL_SECONDS = 0.1
ANSWER_SECONDS = 2.0


class Seen(NamedTuple):
    topic: str
    key: str
    event_id: str


class _Envelope(msgspec.Struct):
    event_id: str


_envelope = msgspec.json.Decoder(_Envelope)


class Recorder(threading.Thread):
    """`seen` grows only at its end. After `lost`, a Kafka that has forgotten everything is read from its
    beginning."""

    def __init__(self, brokers: str) -> None:
        super().__init__(name="recorder", daemon=True)
        self.seen: list[Seen] = []
        self.letters = 0
        self._brokers = brokers
        self._anew = threading.Event()
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            self._anew.clear()
            client = Consumer(
                {
                    "bootstrap.servers": self._brokers,
                    "group.id": "recorder",
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "fetch.wait.max.ms": 50,
                    "log_level": 0,
                }
            )
            try:
                self._read(client)
            except KafkaException:
                self._ended.wait(POLL_SECONDS)  # not there yet
            finally:
                client.close()

    def lost(self) -> None:
        self._anew.set()

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _read(self, client: Consumer) -> None:
        known = client.list_topics(timeout=ANSWER_SECONDS).topics
        names = [*TOPICS, *map(dlq, TOPICS)]
        client.assign(
            [
                TopicPartition(name, each, OFFSET_BEGINNING)
                for name in names
                for each in known[name].partitions
            ]
        )
        while not (self._ended.is_set() or self._anew.is_set()):
            message = client.poll(POLL_SECONDS)
            if message is not None and message.error() is None:
                self._note(message)

    def _note(self, message: Message) -> None:
        topic, key, value = str(message.topic()), message.key() or b"", message.value() or b""
        if topic not in TOPICS:
            self.letters += 1
            return
        assert isinstance(key, bytes)
        self.seen.append(Seen(topic, key.decode(), _envelope.decode(value).event_id))
