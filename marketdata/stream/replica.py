"""A book kept from a snapshot and the changes after it, and what a client of it is shown.

Pure: no clock, no I/O. A `Replica` follows the matcher's book as deep as it is known; a `View` is what a client
who has followed all its messages has: the best DEPTH levels a side.

The client's rule: set the levels of a message, remove those of quantity zero, then keep the best DEPTH a side
and forget the rest. So `View.advance` gives the levels that changed or came (back) into view, and of those that
are gone; those that only fell out of view are not mentioned, the client drops them by itself.

A side may be known only down to some level, because a snapshot is cut there. What is worse is unknown and
ignored; once a side has less than DEPTH levels left that way it is `short`, and no view may be made of it until
the book has been loaded again.

Why it is so: docs/decisions/027-chained-feed.md.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from zlib import crc32

from marketdata.stream.messages import Level
from matching.core.scale import InstrumentScale

DEPTH = 100
CHECKED = 10  # levels a side in the checksum
LOW = 150  # a cut side with fewer levels should be loaded again
MOST = 1000  # levels worth keeping a side


class Side:
    """Ranks are prices in ticks with the sign that puts the best one first: bids negative."""

    __slots__ = ("edge", "levels", "ranks", "sign")

    def __init__(self, sign: int, levels: Iterable[tuple[int, int]], cut: bool) -> None:
        """`levels` are (ticks, lots); `cut`: there may be worse ones that were left out."""
        self.sign = sign
        self.levels = {sign * ticks: lots for ticks, lots in levels}
        self.ranks = sorted(self.levels)
        self.edge = self.ranks[-1] if cut and self.ranks else None

    def apply(self, changes: Iterable[tuple[int, int]]) -> None:
        """Set (ticks, lots); no lots: the level is gone."""
        for ticks, lots in changes:
            rank = self.sign * ticks
            if self.edge is not None and rank > self.edge:
                continue
            if lots:
                if rank not in self.levels:
                    insort(self.ranks, rank)
                self.levels[rank] = lots
            elif self.levels.pop(rank, None) is not None:
                del self.ranks[bisect_left(self.ranks, rank)]
        if len(self.ranks) > MOST:
            for rank in self.ranks[MOST:]:
                del self.levels[rank]
            del self.ranks[MOST:]
            self.edge = self.ranks[-1]

    @property
    def low(self) -> bool:
        return self.edge is not None and len(self.ranks) < LOW

    @property
    def short(self) -> bool:
        return self.edge is not None and len(self.ranks) < DEPTH

    @property
    def best(self) -> int | None:
        """Its price in ticks."""
        return self.sign * self.ranks[0] if self.ranks else None


class Replica:
    """One book as of `sequence` of its group under `epoch`. Levels are (ticks, lots)."""

    def __init__(self, epoch: int, sequence: int, bids: Side, asks: Side) -> None:
        self.epoch = epoch
        self.sequence = sequence
        self.bids = bids
        self.asks = asks

    def apply(self, sequence: int, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        """One batch's changes; what the replica includes already is ignored."""
        if sequence > self.sequence:
            self.sequence = sequence
            self.bids.apply(bids)
            self.asks.apply(asks)

    @property
    def low(self) -> bool:
        return self.bids.low or self.asks.low

    @property
    def short(self) -> bool:
        return self.bids.short or self.asks.short


class ViewSide:
    """The best DEPTH levels of a side, as last shown."""

    __slots__ = ("_lots", "_scale", "levels")

    def __init__(self, scale: InstrumentScale) -> None:
        self._scale = scale
        self._lots: dict[int, int] = {}
        self.levels: dict[int, Level] = {}  # by rank, best first

    def advance(self, side: Side) -> list[Level]:
        """Show `side` from now on; what must be sent to a client for that."""
        scale, sign, known, before = self._scale, side.sign, side.levels, self._lots
        lots = {rank: known[rank] for rank in side.ranks[:DEPTH]}
        if lots == before:
            return []
        changes: list[Level] = [
            (scale.price_text(sign * rank), scale.quantity_text(0)) for rank in before if rank not in known
        ]
        levels: dict[int, Level] = {}
        for rank, quantity in lots.items():
            if before.get(rank) == quantity:
                levels[rank] = self.levels[rank]
            else:
                levels[rank] = (scale.price_text(sign * rank), scale.quantity_text(quantity))
                changes.append(levels[rank])
        self._lots, self.levels = lots, levels
        return changes

    def text(self) -> str:
        """Of the best levels, for the checksum."""
        best = [level for level, _ in zip(self.levels.values(), range(CHECKED), strict=False)]
        return "|".join(f"{price}:{quantity}" for price, quantity in best)


class View:
    def __init__(self, scale: InstrumentScale) -> None:
        self._bids = ViewSide(scale)
        self._asks = ViewSide(scale)

    def advance(self, replica: Replica) -> tuple[list[Level], list[Level]]:
        """What must be sent to a client of bids and of asks to have what `replica` has; both may be empty."""
        return self._bids.advance(replica.bids), self._asks.advance(replica.asks)

    @property
    def bids(self) -> list[Level]:
        return list(self._bids.levels.values())

    @property
    def asks(self) -> list[Level]:
        return list(self._asks.levels.values())

    def checksum(self) -> int:
        return crc32(f"{self._bids.text()}||{self._asks.text()}".encode())
