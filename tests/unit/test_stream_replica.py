"""A client that follows the rules has exactly the server's book, whatever happens to it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.stream import replica as module
from marketdata.stream.messages import Level
from marketdata.stream.replica import Replica, Side, View
from matching.core.scale import InstrumentScale

SCALE = InstrumentScale(Decimal("0.01"), Decimal("0.00001"), 8, 8)
SHOWN, WRITTEN, LOW, MOST = 5, 12, 8, 16  # small, so that few changes reach every edge

Book = dict[int, int]  # ticks → lots
Changes = list[tuple[int, int]]


class Client:
    """Keeps a book by the published rule, and by nothing else."""

    def __init__(self, bids: list[Level], asks: list[Level]) -> None:
        self.bids = dict(bids)
        self.asks = dict(asks)

    def update(self, bids: list[Level], asks: list[Level]) -> None:
        for book, levels, best_first in ((self.bids, bids, True), (self.asks, asks, False)):
            for price, quantity in levels:
                if Decimal(quantity):
                    book[price] = quantity
                else:
                    book.pop(price, None)
            for price in sorted(book, key=Decimal, reverse=best_first)[SHOWN:]:
                del book[price]

    def sides(self) -> tuple[list[Level], list[Level]]:
        bids = sorted(self.bids.items(), key=lambda level: Decimal(level[0]), reverse=True)
        return bids, sorted(self.asks.items(), key=lambda level: Decimal(level[0]))

    def checksum(self) -> int:
        bids, asks = ("|".join(":".join(level) for level in side[:10]) for side in self.sides())
        return crc32(f"{bids}||{asks}".encode())


def best(book: Book, sign: int) -> Changes:
    return sorted(book.items(), key=lambda level: sign * level[0])


def written(book: Book, sign: int) -> Side:
    """As the matcher writes it to Redis: cut."""
    levels = best(book, sign)[:WRITTEN]
    return Side(sign, levels, cut=len(levels) == WRITTEN)


def text(levels: Changes) -> list[Level]:
    return [(SCALE.price_text(ticks), SCALE.quantity_text(lots)) for ticks, lots in levels]


def change(book: Book, changes: Changes) -> None:
    for ticks, lots in changes:
        if lots:
            book[ticks] = lots
        else:
            book.pop(ticks, None)


levels = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 3)), max_size=8, unique_by=lambda level: level[0]
)
books = st.dictionaries(st.integers(1, 40), st.integers(1, 3), max_size=40)


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    for name, value in (("DEPTH", SHOWN), ("LOW", LOW), ("MOST", MOST)):
        patch.setattr(module, name, value)
    yield
    patch.undo()


@given(books, books, st.lists(st.tuples(levels, levels), max_size=30), st.integers(0, 3))
def test_client_and_server_agree_after_any_changes(
    bids: Book, asks: Book, batches: list[tuple[Changes, Changes]], load_takes: int
) -> None:
    """`load_takes`: batches that pass between the need to load the book again and the new one."""
    replica = Replica(1, 0, written(bids, -1), written(asks, 1))
    view = View(SCALE)
    view.advance(replica)
    client = Client(view.bids, view.asks)
    waiting: int | None = None
    for sequence, (bid_changes, ask_changes) in enumerate(batches, 1):
        change(bids, bid_changes)
        change(asks, ask_changes)
        replica.apply(sequence, bid_changes, ask_changes)
        if replica.low and waiting is None:
            waiting = load_takes
        if waiting == 0:
            replica = Replica(1, sequence, written(bids, -1), written(asks, 1))
            waiting = None
        elif waiting is not None:
            waiting -= 1
        if replica.short:
            continue
        client.update(*view.advance(replica))
        shown = text(best(bids, -1)[:SHOWN]), text(best(asks, 1)[:SHOWN])
        assert client.sides() == shown == (view.bids, view.asks)
        assert client.checksum() == view.checksum()


def test_what_a_replica_includes_is_ignored() -> None:
    replica = Replica(1, 5, Side(-1, [(10, 1)], cut=False), Side(1, [], cut=False))
    replica.apply(5, [(10, 0)], [])
    assert replica.bids.best == 10
    replica.apply(6, [(10, 0), (9, 2)], [(11, 1)])
    assert (replica.bids.best, replica.asks.best) == (9, 11)


def test_the_checksum_is_of_ten_levels_a_side() -> None:
    replica = Replica(
        1, 0, Side(-1, [(5_000_000, 150_000), (4_999_900, 1)], cut=False), Side(1, [], cut=False)
    )
    view = View(SCALE)
    assert view.checksum() == crc32(b"||")
    view.advance(replica)
    assert view.checksum() == crc32(b"50000.00:1.50000|49999.00:0.00001||")


def test_nothing_is_told_where_nothing_in_view_changed() -> None:
    side = Side(1, [(ticks, 1) for ticks in range(1, 9)], cut=False)
    replica = Replica(1, 0, Side(-1, [], cut=False), side)
    view = View(SCALE)
    assert view.advance(replica) == ([], text([(ticks, 1) for ticks in range(1, 6)]))
    replica.apply(1, [], [(8, 5), (7, 0)])
    assert view.advance(replica) == ([], [])
    replica.apply(2, [], [(2, 0)])
    assert view.advance(replica) == ([], text([(2, 0), (6, 1)])), "the sixth comes into view"
