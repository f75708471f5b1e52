"""The feeds of a running exchange over real sockets: what a client follows is what REST says, whatever happens
to the processes in between.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from marketdata.stream.limits import MESSAGES_A_SECOND
from tests.follower import DEPTH, Follower
from tests.functional.live import Live, Trader

PATIENCE = 60.0
BOOK, TRADES, TICKER = "orderbook.BTC/USDT", "trades.BTC/USDT", "ticker.BTC/USDT"
PRIVATE = ("user.orders", "user.trades", "user.balances")


class Feed:
    """One socket and what it was told."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.known = Follower()

    def say(self, type: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": type, **fields}))

    def until(self, seen: Callable[[], Any]) -> None:
        """Follow until `seen` says so; it is asked after every message."""
        deadline = time.monotonic() + PATIENCE
        while not seen():
            self.known.take(json.loads(self.socket.recv(timeout=max(0.0, deadline - time.monotonic()))))

    def sign_in(self, trader: Trader) -> None:
        self.say("AUTH", token=trader.token)
        self.until(lambda: self.known.rest)
        assert self.known.rest.pop()["for"] == "AUTH"

    def subscribe(self, *channels: str) -> None:
        self.say("SUBSCRIBE", channels=list(channels))
        self.until(lambda: all(self.known[name].snapshots for name in channels))

    def beat(self) -> None:
        """Until the next heartbeat."""
        beats = len(self.known.beats)
        self.until(lambda: len(self.known.beats) > beats)

    def follows(self, live: Live) -> None:
        """Until the book it has is the one that REST shows."""

        def same() -> bool:
            book = live.public.get("/orderbook/BTC-USDT").json()
            bids, asks = self.known[BOOK].sides()
            return [list(level) for level in bids] == book["bids"][:DEPTH] and [
                list(level) for level in asks
            ] == book["asks"][:DEPTH]

        self.until(same)


@contextmanager
def feed(live: Live) -> Iterator[Feed]:
    """A socket; tried until the stream process answers."""
    url = f"ws://127.0.0.1:{live.stack.env['EXCHANGE_WS_PORT']}/stream"
    deadline = time.monotonic() + PATIENCE
    with ExitStack() as opened:
        socket: ClientConnection | None = None
        while socket is None:
            try:
                socket = opened.enter_context(connect(url, compression=None))
            except (OSError, WebSocketException):
                if time.monotonic() > deadline:
                    raise
        yield Feed(socket)


def test_what_is_told_is_what_rest_says(live: Live, alice: Trader, bob: Trader) -> None:
    with feed(live) as public, feed(live) as own:
        public.subscribe(BOOK, TRADES, TICKER, "candles.BTC/USDT.1d", f"{BOOK}@100ms")
        own.sign_in(alice)
        own.subscribe(*PRIVATE)
        for step in range(3):
            alice.sell("0.5", f"{50000 + step}")
            bob.buy("0.1", f"{49000 - step}")
        order = alice.sell("0.2", "50010")
        bob.buy("1.5", "50005")
        alice.http.patch(f"/orders/{order['order_id']}", json={"quantity": "0.1"}).raise_for_status()
        public.follows(live)
        public.until(lambda: len(public.known[TRADES].told) >= 3)
        public.until(lambda: public.known[f"{BOOK}@100ms"].sides() == public.known[BOOK].sides())
        trades = live.public.get("/trades", params={"symbol": "BTC/USDT", "limit": 3}).json()["items"]
        for told, rest in zip(public.known[TRADES].told[-3:], trades[::-1], strict=True):
            for field in ("trade_id", "number", "side", "is_buyer_maker", "executed_at"):
                assert told[field] == rest[field]
        public.until(
            lambda: public.known[TICKER].told and public.known[TICKER].told[-1]["last"] == "50002.00"
        )
        candles = public.known["candles.BTC/USDT.1d"]
        public.until(lambda: candles.told and candles.told[-1]["close"] == "50002.00")

        orders, fills, balances = (own.known[name] for name in PRIVATE)
        own.until(lambda: orders.told and orders.told[-1]["quantity"] == "0.1")
        rest = alice.get(f"/orders/{order['order_id']}")
        assert orders.told[-1].items() <= rest.items()
        own.until(lambda: len(fills.told) == 3)
        mine = alice.get("/trades/my")["items"][::-1]
        assert [told["trade_id"] for told in fills.told] == [each["trade_id"] for each in mine]
        assert [told["fee"] for told in fills.told] == [each["own"]["fee"] for each in mine]

        def money() -> bool:
            latest = {each["asset"]: each for each in balances.start["balances"]}
            for told in balances.told:
                latest |= {each["asset"]: each for each in told["balances"]}
            return list(latest.values()) == alice.get("/balances")["items"]

        own.until(money)
        with feed(live) as late:
            late.sign_in(alice)
            late.subscribe(*PRIVATE, BOOK)
            opened = late.known["user.orders"].start["orders"]
            assert [each["order_id"] for each in opened] == [order["order_id"]]
            assert [each["trade_id"] for each in late.known["user.trades"].start["trades"]][-3:] == [
                each["trade_id"] for each in mine
            ]
            late.follows(live)


def test_one_that_comes_back_gets_what_it_missed(live: Live, alice: Trader) -> None:
    with feed(live) as first:
        first.subscribe(BOOK)
        alice.buy("0.1", "40000")
        first.until(lambda: first.known[BOOK].told)
        known = first.known
    alice.buy("0.1", "40001")
    alice.buy("0.1", "40002")
    with feed(live) as again:
        again.known.channels = known.channels
        before = known[BOOK].snapshots
        again.say("RESYNC", channel=BOOK, epoch=known[BOOK].epoch, last_sequence=known[BOOK].sequence)
        again.follows(live)
        assert known[BOOK].snapshots == before, "the messages themselves, no snapshot"


def test_one_that_does_not_read_is_let_go(live: Live, alice: Trader, bob: Trader) -> None:
    alice.sell("1", "50000")
    for _ in range(50):
        bob.buy("0.01", "50000")
    with feed(live) as reader, feed(live) as sleeper:
        reader.subscribe(BOOK)
        sleeper.say("SUBSCRIBE", channels=[TRADES])

        def ask() -> None:
            """For some ten kilobytes, again and again, without reading any of it."""
            while True:
                for _ in range(MESSAGES_A_SECOND // 2):
                    sleeper.say("RESYNC", channel=TRADES, epoch="another", last_sequence=0)
                reader.beat()

        with pytest.raises(ConnectionClosed):
            ask()
        bob.buy("0.1", "41000")
        reader.follows(live)


@pytest.mark.parametrize("name", ["matcher-alpha", "matcher-beta", "valkey", "stream"])
def test_a_client_ends_with_the_right_book_whatever_is_killed(
    live: Live, alice: Trader, bob: Trader, name: str
) -> None:
    with feed(live) as follower:
        follower.subscribe(BOOK, TRADES)
        alice.sell("0.3", "50000")
        live.stack.kill(name)
        try:
            for step in range(10):
                alice.place("SELL", "0.1", f"{50001 + step}")
                bob.place("BUY", "0.1", "50003")
                if step % 2:
                    follower.beat()
        except ConnectionClosed:
            assert name == "stream"
        live.stack.wait_ready(PATIENCE)
        if name != "stream":
            check(live, bob, follower)
    with feed(live) as fresh:
        fresh.subscribe(BOOK, TRADES)
        check(live, bob, fresh)


def check(live: Live, bob: Trader, follower: Feed) -> None:
    """Book and last trade are what REST says, and go on to be."""
    follower.follows(live)
    bob.buy("0.1", "42000")
    follower.follows(live)
    newest = live.public.get("/trades", params={"symbol": "BTC/USDT", "limit": 1}).json()["items"][0][
        "number"
    ]
    trades = follower.known[TRADES]
    follower.until(
        lambda: ([each["number"] for each in trades.start["trades"] + trades.told] or [0])[-1] == newest
    )


def test_a_server_that_stops_says_so(live: Live) -> None:
    with feed(live) as follower:
        follower.subscribe(BOOK)
        live.stack.kill("stream", signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as ended:
            follower.until(lambda: False)
        assert ended.value.rcvd is not None and ended.value.rcvd.code == 1001
    with feed(live) as again:
        again.subscribe(BOOK)
    live.stack.wait_ready(PATIENCE)
