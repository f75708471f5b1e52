"""Keeps an order book right over the WebSocket feed, and says whenever the best prices change.

    python docs/feed_client.py ws://127.0.0.1:8081/stream BTC/USDT

The rules a client follows are all in `Book`; the rest is a connection that comes back. Needs `websockets`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from decimal import Decimal
from typing import Any
from zlib import crc32

import websockets

DEPTH = 100  # levels a side that the feed keeps us informed of
CHECKED = 10  # levels a side in the checksum
SILENCE = 3.0  # seconds; a heartbeat comes each second
RETRY = 1.0


class OutOfStep(Exception):
    """The book may be wrong: ask for what is missing, or for a new snapshot."""


class Book:
    """One side is a dict of price to quantity, both as the texts that came."""

    def __init__(self) -> None:
        self.epoch = ""
        self.sequence = 0
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}

    def take(self, message: dict[str, Any]) -> None:
        """A SNAPSHOT replaces everything; an ORDERBOOK_UPDATE must be the next one. Raises OutOfStep."""
        data = message["data"]
        if message["type"] == "SNAPSHOT":
            self.bids, self.asks = dict(data["bids"]), dict(data["asks"])
        elif (message["epoch"], message["sequence"]) != (self.epoch, self.sequence + 1):
            raise OutOfStep(f"{message['epoch']} {message['sequence']} after {self.epoch} {self.sequence}")
        else:
            self.bids = changed(self.bids, data["bids"], best_is_highest=True)
            self.asks = changed(self.asks, data["asks"], best_is_highest=False)
        self.epoch, self.sequence = message["epoch"], message["sequence"]
        if self.checksum() != data["checksum"]:
            self.epoch = ""  # nothing of this book can be gone on with
            raise OutOfStep(f"checksum {self.checksum()} instead of {data['checksum']}")

    def checksum(self) -> int:
        sides = (list(self.bids.items())[:CHECKED], list(self.asks.items())[:CHECKED])
        text = "||".join("|".join(f"{price}:{quantity}" for price, quantity in side) for side in sides)
        return crc32(text.encode())

    @property
    def best(self) -> tuple[str | None, str | None]:
        """Best bid and ask."""
        return next(iter(self.bids), None), next(iter(self.asks), None)


def changed(side: dict[str, str], levels: list[Any], *, best_is_highest: bool) -> dict[str, str]:
    """The side after an update: levels set or (quantity zero) removed, then the best DEPTH kept."""
    levels_now = side | dict(levels)
    there = [(price, quantity) for price, quantity in levels_now.items() if Decimal(quantity)]
    there.sort(key=lambda level: Decimal(level[0]), reverse=best_is_highest)
    return dict(there[:DEPTH])


async def follow(url: str, symbol: str, book: Book) -> None:
    """One connection: returns when it ends."""
    channel = f"orderbook.{symbol}"
    async with websockets.connect(url) as socket:
        await socket.send(json.dumps({"type": "SUBSCRIBE", "channels": [channel]}))
        while True:
            message = json.loads(await asyncio.wait_for(socket.recv(), SILENCE))
            if message["type"] == "ERROR":
                sys.exit(message["detail"])
            if message.get("channel") != channel:
                continue  # ACK, HEARTBEAT
            before = book.best
            try:
                book.take(message)
            except OutOfStep as reason:
                print(f"out of step: {reason}", file=sys.stderr)
                # The epoch says whose sequence it is; without a good one the answer is a SNAPSHOT.
                missing = {"last_sequence": book.sequence, "epoch": book.epoch or "none"}
                await socket.send(json.dumps({"type": "RESYNC", "channel": channel, **missing}))
            if book.best != before:
                bid, ask = book.best
                print(json.dumps({"bid": bid, "ask": ask, "sequence": book.sequence}), flush=True)


async def main(url: str, symbol: str) -> None:
    book = Book()
    while True:
        try:
            await follow(url, symbol, book)
        except (OSError, TimeoutError, websockets.WebSocketException) as reason:
            print(f"connection lost: {reason or type(reason).__name__}", file=sys.stderr)
        await asyncio.sleep(RETRY)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2]))
    except KeyboardInterrupt:
        sys.exit(0)
