"""An event as a handler gets it, and how it is read from a Kafka message.

    def handle(event: Event) -> None: ...

runs inside the transaction in which the event is marked as handled, so its effects come exactly once. A
handler decorated with `in_batches` gets a list of events instead, in the order of their keys. It may raise
`Poison` for what can never succeed; any other exception is tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from confluent_kafka import Message

from exchange.platform.events.outbox import SCHEMA_VERSION

UUID = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]

Handler = Callable[[Any], None]  # of one Event, or of a list of them if `in_batches`
Function = TypeVar("Function", bound=Handler)


Place = tuple[str, int]  # topic and partition


class Record(NamedTuple):
    """A message as Kafka has it."""

    place: Place
    offset: int
    key: bytes
    value: bytes

    @classmethod
    def of(cls, message: Message) -> Record:
        """`message` is one that brings no error."""
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None and partition is not None and offset is not None
        return cls((topic, partition), offset, _bytes(message.key()), _bytes(message.value()))

    @property
    def topic(self) -> str:
        return self.place[0]


class Poison(Exception):
    """This message can never be handled, so it is not tried again."""


class Event(msgspec.Struct, frozen=True):
    """The envelope (`exchange.platform.events.outbox`) with the topic and key that it came under."""

    event_type: str
    event_id: str
    schema_version: int
    timestamp: str
    trace_id: str
    payload: dict[str, Any]
    topic: str
    key: str

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.timestamp)


class _Head(msgspec.Struct):
    event_type: str


class _Envelope(msgspec.Struct):
    event_type: str
    event_id: UUID
    schema_version: int
    timestamp: str
    trace_id: str
    payload: dict[str, Any]


_head = msgspec.json.Decoder(_Head)
_envelope = msgspec.json.Decoder(_Envelope)


def event_type(value: bytes) -> str:
    """All that must be read of a message that no handler takes. Raises Poison."""
    return _decode(_head, value).event_type


def read(topic: str, key: bytes, value: bytes) -> Event:
    """Raises Poison for what is no envelope, or one that is newer than this program."""
    found = _decode(_envelope, value)
    if found.schema_version > SCHEMA_VERSION:
        raise Poison(f"schema_version {found.schema_version} is newer than {SCHEMA_VERSION}, which we know")
    event = Event(
        event_type=found.event_type,
        event_id=found.event_id,
        schema_version=found.schema_version,
        timestamp=found.timestamp,
        trace_id=found.trace_id,
        payload=found.payload,
        topic=topic,
        key=key.decode(errors="replace"),
    )
    try:
        if event.moment.tzinfo is None:
            raise ValueError("without a time zone")
    except ValueError as error:
        raise Poison(f"timestamp {found.timestamp[:40]!r}: {error}") from error
    return event


def in_batches(handler: Function) -> Function:
    """The handler takes a list of events at once."""
    handler.in_batches = True  # type: ignore[attr-defined]
    return handler


def takes_batches(handler: Handler) -> bool:
    return getattr(handler, "in_batches", False)


Read = TypeVar("Read")


def _decode(decoder: msgspec.json.Decoder[Read], value: bytes) -> Read:
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Poison(f"no envelope: {error}") from error


def _bytes(text: str | bytes | None) -> bytes:
    return text.encode() if isinstance(text, str) else text or b""
