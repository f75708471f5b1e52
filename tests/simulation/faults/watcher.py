"""Programs that follow the feeds while the stack is hurt, and what they have at rest held against PostgreSQL.

A watcher trusts nothing: each channel's sequence must be contiguous within its epoch, each book's checksum must
be right, and trades must come without a gap. That a connection ends is no problem; what it says is. `Book` is
the example client's in `docs`.
"""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import psycopg
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from exchange.embedded.stack import PROJECT
from matching.order_status import CLOSED
from tests.simulation.faults.client import Client, CutOff

CATCH_UP_SECONDS = 30.0  # after a fault, at rest
RETRY_SECONDS = 0.2
SILENCE_SECONDS = 5.0
PRIVATE = ("user.orders", "user.balances")

_LEVELS = """
    SELECT i.symbol, o.side, o.price, sum(o.remaining_quantity)
      FROM trading_order o JOIN trading_instrument i ON i.id = o.instrument_id
     WHERE o.closed_at IS NULL AND o.status IN ('OPEN', 'PARTIALLY_FILLED') GROUP BY 1, 2, 3"""
_LAST_TRADES = """
    SELECT i.symbol, max(t.number) FROM trading_trade t JOIN trading_instrument i ON i.id = t.instrument_id
     GROUP BY 1"""
_ORDERS = """
    SELECT o.id::text, o.remaining_quantity FROM trading_order o JOIN members_user u ON u.id = o.user_id
     WHERE o.closed_at IS NULL AND u.email = %s"""
_BALANCES = """
    SELECT s.code, a.available, a.held FROM trading_account a JOIN trading_asset s ON s.id = a.asset_id
      JOIN members_user u ON u.id = a.user_id WHERE u.email = %s"""

_spec = importlib.util.spec_from_file_location("feed_client", PROJECT / "docs" / "feed_client.py")
assert _spec is not None and _spec.loader is not None
feed_client = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(feed_client)


class Watcher(threading.Thread):
    """Follows the books and trades of `symbols`, and the orders and balances of one trader."""

    def __init__(self, port: int, symbols: Sequence[str], email: str, client: Client) -> None:
        super().__init__(name=f"watcher {email}", daemon=True)
        self.email = email
        self.connections = 0
        self.messages = 0
        self._url = f"ws://127.0.0.1:{port}/stream"
        self._client = client
        self._channels = [f"{kind}.{symbol}" for symbol in symbols for kind in ("orderbook", "trades")]
        self._channels += [f"orderbook.{symbol}@100ms" for symbol in symbols]
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._problems: list[str] = []
        self._forget()

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                self._client.sign_in()
                with connect(self._url, open_timeout=SILENCE_SECONDS, close_timeout=1) as socket:
                    self._follow(socket)
            except (OSError, TimeoutError, WebSocketException, *CutOff):
                self._ended.wait(RETRY_SECONDS)

    def end(self) -> None:
        self._ended.set()
        self.join(2 * SILENCE_SECONDS)

    def problems(self, url: str) -> list[str]:
        """What was wrong since the last call, and what differs from PostgreSQL at rest."""
        deadline = time.monotonic() + CATCH_UP_SECONDS
        pause = threading.Event()
        while differences := list(self._differences(url)):
            if time.monotonic() > deadline:
                break
            pause.wait(0.1)
        with self._lock:
            found, self._problems = self._problems, []
        return [f"feed of {self.email}: {each}" for each in found + differences[:3]]

    # Following

    def _forget(self) -> None:
        self._books: dict[str, Any] = {}
        self._trades: dict[str, int] = {}
        self._orders: dict[str, Decimal] | None = None
        self._balances: dict[str, tuple[Decimal, Decimal]] | None = None
        self._at: dict[str, tuple[str, int]] = {}

    def _follow(self, socket: ClientConnection) -> None:
        with self._lock:
            self._forget()
        self.connections += 1
        socket.send(json.dumps({"type": "AUTH", "token": self._client.token}))
        socket.send(json.dumps({"type": "SUBSCRIBE", "channels": [*self._channels, *PRIVATE]}))
        while not self._ended.is_set():
            message = json.loads(socket.recv(timeout=SILENCE_SECONDS))
            if message["type"] == "ERROR":
                return  # PostgreSQL is away, or the token is too old: once more
            if "sequence" in message:
                with self._lock:
                    self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        self.messages += 1
        channel, data = message["channel"], message["data"]
        kind, _, symbol = channel.partition(".")
        here, before = (message["epoch"], message["sequence"]), self._at.get(channel)
        self._at[channel] = here
        snapshot = message["type"] == "SNAPSHOT"
        if not snapshot and before != (here[0], here[1] - 1):
            self._problems.append(f"{channel}: {here} after {before}")
        if kind == "orderbook":
            try:
                self._books.setdefault(symbol, feed_client.Book()).take(message)
            except feed_client.OutOfStep as reason:
                self._problems.append(f"{channel}: {reason}")
        elif kind == "trades":
            for trade in data["trades"] if snapshot else [data]:
                last = self._trades.get(symbol, 0)
                if not snapshot and last and trade["number"] != last + 1:
                    self._problems.append(f"{channel}: trade {trade['number']} after {last}")
                self._trades[symbol] = trade["number"]
        elif channel == "user.orders":
            if snapshot:
                self._orders = {}
            assert self._orders is not None, "a snapshot comes first"
            for order in data["orders"] if snapshot else [data]:
                self._orders[order["order_id"]] = Decimal(order["remaining_quantity"])
                if order["status"] in CLOSED:
                    del self._orders[order["order_id"]]
        else:
            if snapshot:
                self._balances = {}
            assert self._balances is not None, "a snapshot comes first"
            for each in data["balances"]:
                self._balances[each["asset"]] = (Decimal(each["available"]), Decimal(each["held"]))

    # At rest

    def _differences(self, url: str) -> Iterator[str]:
        with psycopg.connect(url) as connection:
            books: dict[str, dict[str, dict[Decimal, Decimal]]] = defaultdict(lambda: {"BUY": {}, "SELL": {}})
            for symbol, side, price, quantity in connection.execute(_LEVELS):
                books[symbol][side][price] = quantity
            trades: dict[str, int] = dict(connection.execute(_LAST_TRADES).fetchall())
            orders: dict[str, Decimal] = dict(connection.execute(_ORDERS, [self.email]).fetchall())
            balances = {code: tuple(row) for code, *row in connection.execute(_BALANCES, [self.email])}
        with self._lock:
            for channel in self._channels:
                kind, _, symbol = channel.partition(".")
                if kind == "trades":
                    last = trades.get(symbol)
                    if last != self._trades.get(symbol):
                        yield f"{channel}: last trade {self._trades.get(symbol)}, PostgreSQL has {last}"
                else:
                    yield from self._book_differences(channel, symbol, books[symbol.partition("@")[0]])
            if self._orders != orders:
                yield f"open orders {self._orders}, PostgreSQL has {orders}"
            if self._balances != balances:
                yield f"balances {self._balances}, PostgreSQL has {balances}"

    def _book_differences(
        self, channel: str, symbol: str, truth: dict[str, dict[Decimal, Decimal]]
    ) -> Iterator[str]:
        book = self._books.get(symbol)
        if book is None:
            yield f"{channel}: no book yet"
            return
        for side, levels, best_is_highest in (("BUY", book.bids, True), ("SELL", book.asks, False)):
            best = sorted(truth[side].items(), reverse=best_is_highest)[: feed_client.DEPTH]
            shown = [(Decimal(price), Decimal(quantity)) for price, quantity in levels.items()]
            if shown != best:
                yield f"{channel}: {side} {shown[:3]}…, PostgreSQL has {best[:3]}…"
