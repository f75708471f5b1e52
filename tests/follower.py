"""A client of the feeds that believes nothing: it follows the published rules and fails at the first message
that breaks them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from zlib import crc32

DEPTH = 100
UPDATES = {
    "orderbook": "ORDERBOOK_UPDATE",
    "trades": "TRADE",
    "ticker": "TICKER",
    "candles": "CANDLE",
    "user.orders": "ORDER_UPDATE",
    "user.trades": "USER_TRADE",
    "user.balances": "BALANCE_UPDATE",
    "user.notifications": "NOTIFICATION",
}


class Channel:
    """`told` are the data of all messages since the last SNAPSHOT, which is `start`."""

    def __init__(self, name: str) -> None:
        self.name = name
        kind = name if name.startswith("user.") else name.partition(".")[0]
        self.update = UPDATES[kind]
        self.is_book = kind == "orderbook"
        self.epoch = ""
        self.sequence = -1
        self.snapshots = 0
        self.start: Any = None
        self.told: list[Any] = []
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}

    def take(self, message: Any) -> None:
        assert message["timestamp"].endswith("Z")
        data = message["data"]
        if message["type"] == "SNAPSHOT":
            if message["epoch"] == self.epoch:
                assert message["sequence"] >= self.sequence, f"{self.name} went back"
            self.snapshots += 1
            self.epoch, self.start, self.told = message["epoch"], data, []
            if self.is_book:
                self.bids, self.asks = dict(data["bids"]), dict(data["asks"])
        else:
            assert message["type"] == self.update
            assert message["epoch"] == self.epoch, f"{self.name}: a new epoch begins with a snapshot"
            assert message["sequence"] == self.sequence + 1, f"{self.name}: a gap after {self.sequence}"
            self.told.append(data)
            if self.is_book:
                _apply(self.bids, data["bids"], best_first=True)
                _apply(self.asks, data["asks"], best_first=False)
        self.sequence = message["sequence"]
        if self.is_book:
            assert self.checksum() == data["checksum"], f"{self.name} at {self.sequence}"

    def sides(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        bids = sorted(self.bids.items(), key=lambda level: Decimal(level[0]), reverse=True)
        return bids, sorted(self.asks.items(), key=lambda level: Decimal(level[0]))

    def checksum(self) -> int:
        bids, asks = ("|".join(":".join(level) for level in side[:10]) for side in self.sides())
        return crc32(f"{bids}||{asks}".encode())


def _apply(side: dict[str, str], levels: list[tuple[str, str]], *, best_first: bool) -> None:
    for price, quantity in levels:
        if Decimal(quantity):
            side[price] = quantity
        else:
            side.pop(price, None)
    for price in sorted(side, key=Decimal, reverse=best_first)[DEPTH:]:
        del side[price]


class Follower:
    """What one connection knows. `rest` are the messages that belong to no channel, without heartbeats."""

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}
        self.rest: list[Any] = []
        self.beats: list[int] = []

    def __getitem__(self, name: str) -> Channel:
        return self.channels.setdefault(name, Channel(name))

    def take(self, message: Any) -> None:
        if message["type"] == "HEARTBEAT":
            assert not self.beats or message["counter"] == self.beats[-1] + 1
            self.beats.append(message["counter"])
        elif "sequence" in message:
            self[message["channel"]].take(message)
        else:
            self.rest.append(message)
