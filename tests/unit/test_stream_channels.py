"""Channels and connections without a network: sequence, epoch, replay, and clients that do not read."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from marketdata.stream import channel as channel_module
from marketdata.stream.channel import Channel
from marketdata.stream.connection import MOST_MESSAGES, MOST_SECONDS, TOO_SLOW, Connection
from marketdata.stream.limits import Quota, Rate
from marketdata.stream.markets import Name, parse
from marketdata.stream.messages import Ack, Balance, Balances, BalancesSnapshot, BalanceUpdate
from marketdata.stream.socket_writer import Owner
from marketdata.stream.tasks import Throttle
from marketdata.stream.wire import frame, payload


class Socket:
    """An outlet that takes what it is sent until `stop`, and again from `go` on."""

    def __init__(self) -> None:
        self.ready = True
        self.owner: Owner | None = None
        self.got: list[Any] = []
        self.closed: tuple[int, str] | None = None
        self.room: int | None = None

    def send(self, wire: bytes) -> None:
        self.got.append(json.loads(payload(wire)))
        if self.room is not None:
            self.room -= 1
            if self.room <= 0:
                self.stop()

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def stop(self) -> None:
        self.ready = False
        assert self.owner is not None
        self.owner.paused()

    def go(self, room: int | None = None) -> None:
        self.ready, self.room = True, room
        assert self.owner is not None
        self.owner.drained()

    def told(self) -> list[tuple[str, int]]:
        """Type and sequence of what came, which is forgotten."""
        got, self.got = self.got, []
        return [(each["type"], each.get("sequence", -1)) for each in got]


class Money(Channel):
    """A channel whose state is one number."""

    snapshot_message = BalancesSnapshot

    def __init__(self, name: str = "money", conflates: bool = False) -> None:
        super().__init__(name)
        self.conflates = conflates
        self.amount = 0

    def open(self) -> None: ...

    def close(self) -> None: ...

    def lost(self) -> None: ...

    def state(self) -> Balances:
        return Balances([Balance("EUR", str(self.amount), "0", str(self.amount))])

    def add(self, amount: int = 1) -> None:
        self.amount += amount
        self.publish(BalanceUpdate, self.state(), "2026-01-01T00:00:00Z")


def on(channel: Channel) -> tuple[Socket, Connection]:
    socket = Socket()
    connection = Connection(socket)
    connection.channels[channel.name] = channel
    channel.join(connection)
    return socket, connection


def in_loop(test: Callable[[], None]) -> Callable[[], None]:
    """Runs a test that waits for nothing inside an event loop, whose clock the code asks."""

    def run() -> None:
        async def main() -> None:
            test()

        asyncio.run(main())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def test_a_snapshot_then_every_change() -> None:
    channel = Money()
    early, _ = on(channel)
    assert early.told() == [], "there is no state yet"
    channel.add(5)
    channel.renew()
    channel.add()
    late, _ = on(channel)
    channel.add()
    assert early.told() == [("SNAPSHOT", 0), ("BALANCE_UPDATE", 1), ("BALANCE_UPDATE", 2)]
    assert late.got[0]["data"]["balances"][0]["available"] == "6"
    assert late.told() == [("SNAPSHOT", 1), ("BALANCE_UPDATE", 2)]


def test_what_was_lost_begins_a_new_epoch() -> None:
    channel = Money()
    channel.renew()
    socket, _ = on(channel)
    channel.add()
    first = socket.got[-1]["epoch"]
    channel.void()
    channel.add()
    assert socket.told() == [("SNAPSHOT", 0), ("BALANCE_UPDATE", 1)], "nothing while the state is in doubt"
    channel.renew()
    assert socket.got[-1]["epoch"] != first
    assert socket.told() == [("SNAPSHOT", 0)]


def test_resync() -> None:
    channel = Money()
    channel.renew()
    for _ in range(3):
        channel.add()
    socket, connection = on(channel)
    socket.told()
    channel.resync(connection, None, 1)
    assert socket.told() == [("BALANCE_UPDATE", 2), ("BALANCE_UPDATE", 3)], "it has been on this epoch"
    channel.resync(connection, channel.epoch, 3)
    assert socket.told() == [], "there is nothing that it has not"
    for epoch, last in (("another", 1), (channel.epoch, 4), ("another", 3)):
        channel.resync(connection, epoch, last)
        assert socket.told() == [("SNAPSHOT", 3)]

    stranger = Socket()
    channel.resync(Connection(stranger), channel.epoch, 2)
    assert stranger.told() == [("BALANCE_UPDATE", 3)], "one that has come back and names the epoch"
    channel.add()
    assert stranger.told() == [("BALANCE_UPDATE", 4)]
    another = Socket()
    channel.resync(Connection(another), None, 2)
    assert another.told() == [("SNAPSHOT", 4)]


def test_the_buffer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "KEEP_MESSAGES", 2)
    channel = Money()
    channel.renew()
    for _ in range(5):
        channel.add()
    socket, connection = on(channel)
    socket.told()
    channel.resync(connection, channel.epoch, 3)
    assert socket.told() == [("BALANCE_UPDATE", 4), ("BALANCE_UPDATE", 5)]
    channel.resync(connection, channel.epoch, 2)
    assert socket.told() == [("SNAPSHOT", 5)]


@in_loop
def test_a_client_that_does_not_read_gets_all_of_it_later_but_books_only_once() -> None:
    book, money = Money("book", conflates=True), Money()
    book.renew()
    money.renew()
    socket, connection = on(book)
    connection.channels[money.name] = money
    money.join(connection)
    socket.told()
    socket.stop()
    for _ in range(3):
        book.add()
        money.add()
    connection.send(Ack("PING"))
    assert socket.told() == []
    socket.go()
    assert socket.told() == [*[("BALANCE_UPDATE", n) for n in (1, 2, 3)], ("ACK", -1), ("SNAPSHOT", 3)]
    book.add()
    assert socket.told() == [("BALANCE_UPDATE", 4)], "from the snapshot on without a gap"


@in_loop
def test_one_that_reads_a_little_goes_on_where_it_was() -> None:
    book, money = Money("book", conflates=True), Money()
    book.renew()
    money.renew()
    socket, connection = on(book)
    connection.channels[money.name] = money
    money.join(connection)
    socket.told()
    socket.stop()
    book.add()
    money.add()
    socket.go(room=1)
    assert socket.told() == [("BALANCE_UPDATE", 1)]
    book.add()
    money.add()
    connection.channels.pop("book")
    socket.go()
    assert socket.told() == [("BALANCE_UPDATE", 2)], "a book that it is not on any more is left out"


@in_loop
def test_too_much_waiting_or_too_long_ends_it() -> None:
    money = Money()
    money.renew()
    socket, _ = on(money)
    socket.stop()
    for _ in range(MOST_MESSAGES + 5):
        money.add()
    assert socket.closed is not None and socket.closed[0] == TOO_SLOW
    assert len(socket.got) == 1, "only the first snapshot"

    socket, connection = on(money)
    socket.stop()
    now = asyncio.get_running_loop().time()
    closed = []
    for waited in (MOST_SECONDS - 0.1, MOST_SECONDS + 0.1):
        connection.check(now + waited)
        closed.append(socket.closed and socket.closed[0])
    assert closed == [None, TOO_SLOW]


def test_throttle_is_prompt_at_first_and_never_faster() -> None:
    async def main() -> list[float]:
        loop, ran = asyncio.get_running_loop(), []
        throttle = Throttle(0.05, lambda: ran.append(loop.time()))
        throttle.request()
        assert len(ran) == 1
        done = loop.time() + 0.12
        while loop.time() < done:
            throttle.request()
            await asyncio.sleep(0)
        throttle.cancel()
        return ran

    ran = asyncio.run(main())
    assert all(later - earlier >= 0.049 for earlier, later in itertools.pairwise(ran))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("orderbook.BTC/USDT", Name("orderbook", "BTC/USDT")),
        ("orderbook.BTC-USDT@100ms", Name("orderbook", "BTC/USDT", "100ms")),
        ("trades.BTC-USDT", Name("trades", "BTC/USDT")),
        ("candles.BTC/USDT.15m", Name("candles", "BTC/USDT", "15m")),
        ("ticker.1INCH-USDT", Name("ticker", "1INCH/USDT")),
        ("user.orders", Name("user.orders")),
        ("user.nothing", None),
        ("orderbook.BTCUSDT", None),
        ("orderbook.BTC/USDT@1s", None),
        ("trades.BTC/USDT@100ms", None),
        ("trades.BTC/USDT.1m", None),
        ("candles.BTC/USDT", None),
        ("candles.BTC/USDT.2m", None),
        ("orderbook.BTC/USDT ", None),
        ("", None),
    ],
)
def test_names(text: str, name: Name | None) -> None:
    assert parse(text) == name
    if name is not None:
        assert str(name) == text.replace("-", "/")
        assert parse(str(name)) == name


@pytest.mark.parametrize(("size", "head"), [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)])
def test_frames(size: int, head: int) -> None:
    wire = frame(b"x" * size)
    assert (len(wire), wire[0], payload(wire)) == (size + head, 0x81, b"x" * size)


def test_quota() -> None:
    quota = Quota(2)
    assert [quota.take("a"), quota.take("a"), quota.take("a"), quota.take("b")] == [True, True, False, True]
    quota.give_back("a")
    assert quota.take("a")


def test_rate() -> None:
    rate = Rate(0.0, rate=10, burst=3)
    assert [rate.allows(0.0) for _ in range(5)] == [True, True, True, False, False]
    assert rate.refused == 2
    assert rate.allows(0.1) and not rate.allows(0.1)
    assert rate.refused == 1
