"""Many clients of the feed: they subscribe, follow every sequence, and measure how late messages are.

    python -m exchange.bench.feed_clients < plan and orders

A process of its own, so that its processor time is counted apart: one loop over plain sockets. Of each message
it reads the head; some clients (`Plan.sampled`) keep the book as well and prove it by its checksum.

The first line of the input is the `Plan`; further lines are `begin` and `end` of the measured window, and
`finish`. It prints a JSON object a line: {"event": "subscribed"} when every channel has its snapshot, and after
`finish`, once the feed is quiet, the `Outcome`.
"""

from __future__ import annotations

import gc
import os
import selectors
import sys
import time
from collections import Counter
from datetime import datetime
from typing import Any

import msgspec

from exchange.bench.feed_book import Book
from exchange.bench.websocket import CLOSE, PING, PONG, TEXT, Frames, WrongAnswer, connect, frame

PATH = "/stream"
BUFFER = 1 << 18
TIMEOUT = 30.0  # seconds for a connection
QUIET_SECONDS = 1.5  # without a message of a channel
MOST_SECONDS = 30.0  # to become quiet
KEPT_ERRORS = 3


class Plan(msgspec.Struct):
    """`connections` are lists of channels. The first `sampled` of them keep their books."""

    host: str
    port: int
    connections: list[list[str]]
    sampled: int


class Outcome(msgspec.Struct):
    """`delivered` messages and `latency_ms`, from a message's timestamp to its arrival here, are of the window;
    all else is of the whole run. `snapshots` are those after the first: each stands for messages not sent.
    `ends` counts the connections by channel and the last epoch and sequence they have; `books` are those of the
    sampled ones at the end."""

    delivered: int
    seconds: float
    latency_ms: dict[str, float]
    gaps: int
    snapshots: int
    wrong_checksums: int
    checksums: int
    lost: int
    errors: dict[str, int]
    ends: dict[str, dict[str, int]]
    books: list[tuple[str, list[list[str]], list[list[str]]]]


class Head(msgspec.Struct, gc=False):
    type: str
    channel: str = ""
    epoch: str = ""
    sequence: int = 0
    timestamp: datetime | None = None
    code: str = ""


class Body(msgspec.Struct):
    data: dict[str, Any]


class Feed:
    """What a connection knows of a channel."""

    __slots__ = ("book", "epoch", "sequence")

    def __init__(self, book: Book | None) -> None:
        self.epoch, self.sequence, self.book = "", 0, book


class Connection:
    __slots__ = ("feeds", "frames", "socket")

    def __init__(self, plan: Plan, channels: list[str], *, sampled: bool) -> None:
        self.socket = connect(plan.host, plan.port, PATH, TIMEOUT)
        self.feeds = {
            name: Feed(Book() if sampled and name.startswith("orderbook.") else None) for name in channels
        }
        self.frames = Frames()
        self.send(TEXT, msgspec.json.encode({"type": "SUBSCRIBE", "channels": channels}))
        self.socket.setblocking(False)

    def send(self, kind: int, payload: bytes) -> None:
        self.socket.sendall(frame(kind, payload))


head_of = msgspec.json.Decoder(Head).decode
body_of = msgspec.json.Decoder(Body).decode


class Clients:
    def __init__(self, plan: Plan) -> None:
        self._selector = selectors.DefaultSelector()
        self._connections: list[Connection] = []
        self._waiting = 0  # channels that have no snapshot yet
        self._measuring = False
        self._latencies: list[float] = []
        self._seconds = 0.0
        self._gaps = self._snapshots = self._checksums = self._lost = 0
        self._errors: Counter[str] = Counter()
        self._heard = time.monotonic()
        for number, channels in enumerate(plan.connections):
            opened = Connection(plan, channels, sampled=number < plan.sampled)
            self._waiting += len(opened.feeds)
            self._connections.append(opened)
            self._selector.register(opened.socket, selectors.EVENT_READ, opened)
            self._poll(0)
        while self._waiting and not self._lost and not self._errors:
            self._poll(TIMEOUT)

    def run(self) -> None:
        """Until asked to finish, and the feed is quiet."""
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        orders: list[str] = []
        while "finish" not in orders:
            orders = self._poll(None)
            if "begin" in orders:
                self._measuring, self._seconds = True, -time.perf_counter()
            if "end" in orders:
                self._measuring, self._seconds = False, self._seconds + time.perf_counter()
        latest = time.monotonic() + MOST_SECONDS
        while time.monotonic() < min(latest, self._heard + QUIET_SECONDS):
            self._poll(QUIET_SECONDS)

    def outcome(self) -> Outcome:
        ordered = sorted(self._latencies)
        points = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
        books = [
            (name, feed.book)
            for each in self._connections
            for name, feed in each.feeds.items()
            if feed.book is not None
        ]
        ends: dict[str, Counter[str]] = {}
        for each in self._connections:
            for name, feed in each.feeds.items():
                ends.setdefault(name, Counter())[f"{feed.epoch} {feed.sequence}"] += 1
        return Outcome(
            delivered=len(ordered),
            seconds=self._seconds,
            latency_ms={
                name: 1000 * ordered[round((len(ordered) - 1) * part)] for name, part in points.items()
            }
            if ordered
            else {},
            gaps=self._gaps,
            snapshots=self._snapshots,
            wrong_checksums=sum(book.wrong for _, book in books),
            checksums=self._checksums,
            lost=self._lost,
            errors=dict(self._errors),
            ends={name: dict(counts) for name, counts in ends.items()},
            books=[(name.partition(".")[2], book.bids, book.asks) for name, book in books],
        )

    def _poll(self, seconds: float | None) -> list[str]:
        """Wait for something and take it; the orders that came meanwhile."""
        orders: list[str] = []
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                received = os.read(sys.stdin.fileno(), BUFFER).decode()
                orders += received.split() or ["finish"]  # the other end is gone
            else:
                self._receive(key.data)
        return orders

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(BUFFER)
        except OSError:
            data = b""
        if not data:
            self._lose(connection, "closed without a word")
            return
        now = time.time()
        for kind, payload in connection.frames.take(data):
            if kind == TEXT:
                self._take(connection, payload, now)
            elif kind == PING:
                connection.send(PONG, payload)
            elif kind == CLOSE:
                self._lose(connection, f"closed: {int.from_bytes(payload[:2])} {payload[2:].decode()}")
                return

    def _take(self, connection: Connection, payload: bytes, now: float) -> None:
        head = head_of(payload)
        feed = connection.feeds.get(head.channel)
        if head.type == "ERROR":
            self._errors[head.code] += 1
        if feed is None or head.timestamp is None:
            return
        if head.type == "SNAPSHOT":
            if feed.epoch:
                self._snapshots += 1
            else:
                self._waiting -= 1
        elif (head.epoch, head.sequence) != (feed.epoch, feed.sequence + 1):
            self._gaps += 1
        feed.epoch, feed.sequence = head.epoch, head.sequence
        self._heard = time.monotonic()
        if self._measuring:
            self._latencies.append(now - head.timestamp.timestamp())
        if feed.book is not None:
            feed.book.apply(head.type, body_of(payload).data)
            self._checksums += 1

    def _lose(self, connection: Connection, reason: str) -> None:
        self._lost += 1
        if len(self._errors) < KEPT_ERRORS or reason in self._errors:
            self._errors[reason] += 1
        self._selector.unregister(connection.socket)
        connection.socket.close()


def say(message: object) -> None:
    print(msgspec.json.encode(message).decode(), flush=True)


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)  # nothing else comes before we say so
    gc.disable()  # nothing here makes cycles
    try:
        clients = Clients(plan)
    except (OSError, WrongAnswer) as error:
        sys.exit(f"no connection to the feed: {error}")
    say({"event": "subscribed"})
    clients.run()
    say(clients.outcome())


if __name__ == "__main__":
    main()
