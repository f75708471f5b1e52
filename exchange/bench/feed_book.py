"""An order book as a client of the feed keeps it: by snapshot, updates, sequence and checksum."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from zlib import crc32

DEPTH = 100  # levels a side that a client knows
PROVED = 10  # of them are in the checksum

Level = list[str]  # price and quantity, as texts


class Book:
    """Best first. `wrong` counts messages after which the checksum was another than the server's."""

    def __init__(self) -> None:
        self.bids: list[Level] = []
        self.asks: list[Level] = []
        self.wrong = 0

    def apply(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "SNAPSHOT":
            self.bids, self.asks = [], []
        self.bids = _changed(self.bids, data["bids"], best_first=True)
        self.asks = _changed(self.asks, data["asks"], best_first=False)
        self.wrong += self.checksum() != data["checksum"]

    def checksum(self) -> int:
        sides = ("|".join(map(":".join, side[:PROVED])) for side in (self.bids, self.asks))
        return crc32("||".join(sides).encode())


def _changed(side: list[Level], changes: list[Level], *, best_first: bool) -> list[Level]:
    """The side with some levels set, or gone where their quantity is zero, and cut to the depth."""
    levels = dict(side) | dict(changes)
    kept = [[price, quantity] for price, quantity in levels.items() if Decimal(quantity)]
    kept.sort(key=lambda level: Decimal(level[0]), reverse=best_first)
    return kept[:DEPTH]
