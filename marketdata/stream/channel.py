"""A channel: state that clients follow, sent as a SNAPSHOT and contiguous messages after it.

`sequence` goes up by one with each message and starts again with each `epoch`. A client that missed something gets
the messages again from a bounded buffer, or a SNAPSHOT. When the state itself can't be trusted (`lost`), the
channel says nothing until it has been read again, and then starts a new epoch with a SNAPSHOT to all clients.

A message is serialised and framed once, however many are on the channel.
"""

from __future__ import annotations

import itertools
import secrets
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, ClassVar, Protocol

from exchange.base.times import now_text
from marketdata.stream.messages import ChannelMessage, encode
from marketdata.stream.wire import frame

KEEP_MESSAGES = 1000
KEEP_BYTES = 256 * 1024

_process = secrets.token_hex(4)
_epochs = itertools.count(1)


class Subscriber(Protocol):
    def deliver(self, channel: Channel, wire: bytes) -> None:
        """Hand over one message of a channel; does not wait for the client."""


class Channel(ABC):
    """Kinds of channels give the state and say what became of it."""

    snapshot_message: ClassVar[type[Any]]
    conflates = False  # a client that is slow gets one SNAPSHOT for all that it missed
    private = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.epoch = ""
        self.sequence = 0
        self.ready = False
        self.subscribers: set[Subscriber] = set()
        self._recent: deque[tuple[int, bytes]] = deque()
        self._recent_bytes = 0
        self._snapshot = (-1, b"")
        self._timestamp = ""

    @abstractmethod
    def open(self) -> None:
        """A client is on the channel: begin to keep its state, and `renew` when it is known."""

    @abstractmethod
    def close(self) -> None:
        """No client has been on it for a while: let everything go."""

    @abstractmethod
    def lost(self) -> None:
        """Something was missed: as `open`, from the beginning."""

    @abstractmethod
    def state(self) -> Any:
        """What a SNAPSHOT says."""

    # For clients

    def join(self, subscriber: Subscriber) -> None:
        """A SNAPSHOT, at once or as soon as there is one, and every message after it."""
        self.subscribers.add(subscriber)
        if self.ready:
            subscriber.deliver(self, self.snapshot())

    def leave(self, subscriber: Subscriber) -> None:
        self.subscribers.discard(subscriber)

    def resync(self, subscriber: Subscriber, epoch: str | None, last_sequence: int) -> None:
        """The messages after `last_sequence` of `epoch` (None: of this one), or a SNAPSHOT."""
        on_it = subscriber in self.subscribers
        self.subscribers.add(subscriber)
        if not self.ready:
            return
        known = epoch == self.epoch or (epoch is None and on_it)
        oldest = self._recent[0][0] if self._recent else self.sequence + 1
        if known and oldest - 1 <= last_sequence <= self.sequence:
            for sequence, wire in self._recent:
                if sequence > last_sequence:
                    subscriber.deliver(self, wire)
        else:
            subscriber.deliver(self, self.snapshot())

    def snapshot(self) -> bytes:
        """The SNAPSHOT as of now, framed."""
        if self._snapshot[0] != self.sequence:
            message = self.snapshot_message(
                self.name, self.epoch, self.sequence, self._timestamp, self.state()
            )
            self._snapshot = (self.sequence, frame(encode(message)))
        return self._snapshot[1]

    # For what keeps the state

    def publish(self, kind: type[ChannelMessage], data: Any, timestamp: str) -> None:
        """The next message. Before the first `renew` no client gets it: the SNAPSHOT will have it."""
        if not self.ready:
            return
        self.sequence += 1
        self._timestamp = timestamp
        message = kind(self.name, self.epoch, self.sequence, timestamp, data)  # type: ignore[call-arg]
        wire = frame(encode(message))
        self._recent.append((self.sequence, wire))
        self._recent_bytes += len(wire)
        while len(self._recent) > KEEP_MESSAGES or self._recent_bytes > KEEP_BYTES:
            self._recent_bytes -= len(self._recent.popleft()[1])
        for subscriber in self.subscribers:
            subscriber.deliver(self, wire)

    def void(self) -> None:
        """Say nothing until `renew`."""
        self.ready = False

    def renew(self, timestamp: str = "") -> None:
        """A new epoch: the state is right as it is now, and all clients get it."""
        self.epoch = f"{_process}-{next(_epochs):x}"
        self.sequence = 0
        self.ready = True
        self._recent.clear()
        self._recent_bytes = 0
        self._snapshot = (-1, b"")
        self._timestamp = timestamp or now_text()
        if self.subscribers:
            wire = self.snapshot()
            for subscriber in self.subscribers:
                subscriber.deliver(self, wire)
