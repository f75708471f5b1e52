"""Was anything missed? The messages of one symbol group, checked link by link.

Pure. A message names the sequence before it (`matching.feed`); where that is not the last one seen, something
is missing, and whatever was kept from the group's messages is worth nothing any more. A higher epoch counts as
such a break too: the worker before may have settled something that it never published.

The book changes of the last seconds are remembered, because a book that is loaded is a little behind.

Why it is so: docs/decisions/027-chained-feed.md.
"""

from __future__ import annotations

import enum
from collections import deque

from matching.feed import Batch, BookChange

REMEMBER_SECONDS = 3.0  # a book in Redis is at most a second old


class Link(enum.Enum):
    NEXT = enum.auto()
    OLD = enum.auto()  # known already, or from a worker that owns the group no more
    BROKEN = enum.auto()


class Chain:
    """`floor` is the sequence before the oldest message that is remembered."""

    def __init__(self) -> None:
        self.epoch = 0
        self.last = -1  # unknown
        self.floor = -1
        self.heard_at = float("-inf")
        self._recent: deque[tuple[float, int, list[BookChange]]] = deque()

    def begin(self, epoch: int, sequence: int) -> None:
        """Nothing has been seen yet, but it is known what was read: what follows must follow that."""
        if self.last < 0:
            self.epoch, self.last, self.floor = epoch, sequence, sequence

    def take(self, batch: Batch, now: float) -> Link:
        """Where `batch` belongs. After BROKEN it is the first of a new chain."""
        if batch.epoch < self.epoch or (batch.epoch == self.epoch and batch.sequence < self.last):
            return Link.OLD
        self.heard_at = now
        if batch.epoch == self.epoch and batch.sequence == self.last:
            return Link.OLD
        link = Link.NEXT
        if batch.epoch > self.epoch or batch.previous != self.last:
            link = Link.BROKEN
            self.epoch, self.floor = batch.epoch, batch.previous
            self._recent.clear()
        self.last = batch.sequence
        if batch.books:
            self._recent.append((now, batch.sequence, batch.books))
        while self._recent and self._recent[0][0] < now - REMEMBER_SECONDS:
            self.floor = self._recent.popleft()[1]
        return link

    def covers(self, epoch: int, sequence: int) -> bool:
        """True if every change after `sequence` is remembered or yet to come."""
        return epoch == self.epoch and sequence >= self.floor

    def after(self, sequence: int) -> list[tuple[int, list[BookChange]]]:
        """The remembered changes after `sequence`, with theirs."""
        return [(at, books) for _, at, books in self._recent if at > sequence]
