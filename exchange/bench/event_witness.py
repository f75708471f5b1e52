"""A plain consumer of all topics, in a process of its own, as another system of the bank's would be.

    python -m exchange.bench.event_witness

It says when it has found the end of each topic, then reads a word a line from its input: "begin" empties its notes,
"report" has them printed, "end" ends it. Latency is from an event's own time, at which its settlement began to be
committed, to its arrival here, on the clock of this one machine.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from array import array
from collections.abc import Iterable
from datetime import datetime

import msgspec
from confluent_kafka import OFFSET_END, Message, TopicPartition

from exchange.platform.events.topics import TOPICS

BATCH = 1000
POLL_SECONDS = 0.05
READY_SECONDS = 10.0


class Head(msgspec.Struct):
    event_id: str
    timestamp: datetime


class Notes(msgspec.Struct):
    """`events` that arrived, and how many different ones of each topic; how long after their own time, in
    milliseconds."""

    events: int
    distinct: dict[str, int]
    latency_ms: dict[str, float]

    def of(self, topics: Iterable[str]) -> int:
        return sum(self.distinct.get(topic, 0) for topic in topics)


class Witness:
    def __init__(self) -> None:
        from exchange.platform.events import kafka  # reads the settings, which the bench itself does not have

        self._client = kafka.consumer("witness", **{"fetch.wait.max.ms": 20})
        known = self._client.list_topics(timeout=READY_SECONDS).topics
        places = [(topic, number) for topic in TOPICS for number in known[topic].partitions]
        ends = [
            self._client.get_watermark_offsets(TopicPartition(*place), timeout=READY_SECONDS)[1]
            for place in places
        ]
        self._client.assign(
            [TopicPartition(*place, end or OFFSET_END) for place, end in zip(places, ends, strict=True)]
        )
        self._decode = msgspec.json.Decoder(Head).decode
        self._lock = threading.Lock()
        self.stop = threading.Event()
        self.begin()

    def begin(self) -> None:
        with self._lock:
            self._delays = array("d")
            self._ids: dict[str, set[str]] = {topic: set() for topic in TOPICS}

    def run(self) -> None:
        while not self.stop.is_set():
            first = self._client.poll(POLL_SECONDS)
            if first is not None:
                self._take([first, *self._client.consume(BATCH, 0)])
        self._client.close()

    def _take(self, messages: list[Message]) -> None:
        now = time.time()
        with self._lock:
            for message in messages:
                if message.error() is None:
                    head = self._decode(message.value() or b"")
                    self._delays.append(now - head.timestamp.timestamp())
                    self._ids[str(message.topic())].add(head.event_id)

    def notes(self) -> Notes:
        with self._lock:
            ordered = sorted(self._delays)
            return Notes(len(ordered), {topic: len(ids) for topic, ids in self._ids.items()}, points(ordered))


def points(ordered: list[float]) -> dict[str, float]:
    """In milliseconds, of sorted seconds."""
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {
        name: round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
        for name, share in shares.items()
        if ordered
    }


def say(message: object) -> None:
    print(msgspec.json.encode(message).decode(), flush=True)


def main() -> None:
    gc.disable()  # nothing here makes cycles
    witness = Witness()
    thread = threading.Thread(target=witness.run)
    thread.start()
    say({"event": "ready"})
    for line in sys.stdin:
        match line.strip():
            case "begin":
                witness.begin()
                say({"event": "begun"})
            case "report":
                say(witness.notes())
            case _:
                break
    witness.stop.set()
    thread.join()


if __name__ == "__main__":
    main()
