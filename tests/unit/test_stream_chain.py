"""Whether something was missed, told by the sequences of messages alone."""

from __future__ import annotations

from marketdata.stream.chain import REMEMBER_SECONDS, Chain, Link
from matching.feed import Batch, BookChange


def batch(previous: int, sequence: int, epoch: int = 1) -> Batch:
    books = [BookChange(1, [(sequence, 1)], [])] if sequence > previous else []
    return Batch("alpha", epoch, previous, sequence, "2026-01-01T00:00:00Z", books)


def test_links_follow_one_another() -> None:
    chain = Chain()
    assert chain.take(batch(4, 4), 0.0) is Link.BROKEN, "nothing is known yet"
    assert chain.take(batch(4, 7), 0.1) is Link.NEXT
    assert chain.take(batch(7, 7), 0.2) is Link.OLD, "a sign of life changes nothing"
    assert chain.take(batch(4, 7), 0.3) is Link.OLD, "told twice"
    assert chain.take(batch(7, 8), 0.4) is Link.NEXT


def test_a_gap_and_a_take_over_break_it() -> None:
    chain = Chain()
    chain.take(batch(0, 3), 0.0)
    assert chain.take(batch(5, 6), 0.1) is Link.BROKEN
    assert chain.take(batch(6, 7), 0.2) is Link.NEXT, "the new chain goes on"
    assert chain.take(batch(9, 9), 0.3) is Link.BROKEN, "a sign of life shows that something is missing"
    assert chain.take(batch(9, 9, epoch=2), 0.4) is Link.BROKEN, "another worker"
    assert chain.take(batch(9, 12, epoch=1), 0.5) is Link.OLD, "the one before has no say"


def test_what_was_read_is_where_it_begins() -> None:
    chain = Chain()
    chain.begin(1, 5)
    assert chain.take(batch(3, 5), 0.0) is Link.OLD
    assert chain.take(batch(5, 6), 0.1) is Link.NEXT
    chain.begin(1, 99)
    assert chain.take(batch(6, 7), 0.2) is Link.NEXT, "it has begun already"


def test_a_book_that_is_a_little_behind_catches_up() -> None:
    chain = Chain()
    chain.begin(1, 0)
    for sequence in range(1, 6):
        chain.take(batch(sequence - 1, sequence), sequence * REMEMBER_SECONDS / 3)
    assert chain.floor == 1, "the first is forgotten"
    assert [at for at, _ in chain.after(3)] == [4, 5]
    assert chain.covers(1, 1) and chain.covers(1, 9) and not chain.covers(1, 0) and not chain.covers(2, 3)
    chain.take(batch(7, 8), 6 * REMEMBER_SECONDS)
    assert not chain.covers(1, 5) and chain.covers(1, 7)
    assert [at for at, _ in chain.after(7)] == [8]
