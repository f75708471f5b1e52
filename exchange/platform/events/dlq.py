"""Dead letters: messages that a group could not handle, set aside on `<topic>.dlq` with the reason.

A letter is the message as it was, under the same key, with headers that say where it came from, which group
could not handle it, how often it tried and why. Reading letters moves nothing: whether one still waits is
seen from whether its group has meanwhile handled the event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, Producer, TopicPartition

from exchange.base.times import now_text, rfc3339
from exchange.platform.events import kafka, topics
from exchange.platform.events.event import Place, Record

SEND_SECONDS = 10.0  # for Kafka to acknowledge a letter
READ_SECONDS = 10.0  # for Kafka to answer
LONGEST_REASON = 500  # characters
READER = "dlq"  # client group of who only looks; it commits nothing


class NotSent(Exception):
    """Kafka did not acknowledge the letter."""


@dataclass(frozen=True)
class DeadLetter:
    """`id` is its place among the dead letters; the other places are where the message came from."""

    id: str
    written_at: str
    group: str
    topic: str
    partition: int
    offset: int
    key: str
    tries: int
    reason: str
    value: bytes


def producer() -> Producer:
    """Gives up on a letter that Kafka does not take, so that its sender can try again later."""
    return kafka.producer(
        **{"enable.gapless.guarantee": False, "message.timeout.ms": int(1000 * SEND_SECONDS), "linger.ms": 0}
    )


def send(sender: Producer, record: Record, *, group: str, tries: int, error: Exception) -> None:
    """Returns once Kafka has the letter. Raises NotSent."""
    outcome: list[str] = []  # texts: a KafkaError can't be compared with None
    headers = {
        "group": group,
        "topic": record.topic,
        "partition": record.place[1],
        "offset": record.offset,
        "tries": tries,
        "reason": f"{type(error).__name__}: {error}"[:LONGEST_REASON],
        "written_at": now_text(),
    }
    try:
        sender.produce(
            topics.dlq(record.topic),
            record.value,
            record.key,
            headers=[(name, str(value).encode()) for name, value in headers.items()],
            on_delivery=lambda problem, _: outcome.append("" if problem is None else problem.str()),
        )
        sender.flush(SEND_SECONDS + 1)
    except (KafkaException, BufferError) as problem:
        raise NotSent(str(problem)) from problem
    if outcome != [""]:
        raise NotSent(outcome[0] if outcome else f"no answer in {SEND_SECONDS:g} s")


def read(of: Sequence[str] = topics.TOPICS) -> Iterator[DeadLetter]:
    """All letters there are about messages of these topics, in order by partition. Raises KafkaException."""
    client = kafka.consumer(READER)
    try:
        ends = _ends(client, [topics.dlq(topic) for topic in of])
        client.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in ends])
        while ends:
            message = client.poll(READ_SECONDS)
            if message is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"no message of {list(ends)}"))
            error = message.error()
            if error is None:
                record = Record.of(message)
                if record.offset + 1 >= ends.get(record.place, 0):
                    ends.pop(record.place, None)
                yield _letter(record, message)
            elif not error.retriable():
                raise KafkaException(error)
    finally:
        client.close()


def _ends(client: Any, of: Sequence[str]) -> dict[Place, int]:
    """Where each partition that is not empty ends. Asked before anything is read: the embedded Kafka answers on
    one connection in turn, so a question would wait behind a read that waits for messages."""
    known = client.list_topics(timeout=READ_SECONDS).topics
    places = [(topic, partition) for topic in of if topic in known for partition in known[topic].partitions]
    ends = {}
    for place in places:
        first, end = client.get_watermark_offsets(TopicPartition(*place), timeout=READ_SECONDS)
        if first < end:
            ends[place] = end
    return ends


def _letter(record: Record, message: Message) -> DeadLetter:
    """Also of what others have put there: it has fewer headers."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in _headers(message)}
    kind, millis = message.timestamp()
    written = rfc3339(datetime.fromtimestamp(millis / 1000, UTC)) if kind and millis > 0 else ""
    return DeadLetter(
        id="/".join(map(str, (*record.place, record.offset))),
        written_at=headers.get("written_at", written),
        group=headers.get("group", ""),
        topic=headers.get("topic", record.topic.removesuffix(topics.dlq(""))),
        partition=_number(headers.get("partition")),
        offset=_number(headers.get("offset")),
        key=record.key.decode(errors="replace"),
        tries=_number(headers.get("tries")),
        reason=headers.get("reason", ""),
        value=record.value,
    )


def _headers(message: Any) -> list[tuple[str, bytes | None]]:
    return message.headers() or []


def _number(text: str | None) -> int:
    """-1 where there is none."""
    return int(text) if text and text.isdecimal() else -1
