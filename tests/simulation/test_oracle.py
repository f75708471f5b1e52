"""The core against the oracle: random commands over all types, the same events, the same state hash.

Along the way the invariants are checked and the core is thrown away and rebuilt, by turns from its own
export and, as recovery does, order by order from what a database would hold.

The suite runs a bounded number of commands. The long form is

    python -m tests.simulation.test_oracle --commands 1000000
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice

import msgspec
import pytest

from matching.core.book import Book
from matching.core.commands import Adopt, AnyCommand, Release
from matching.core.engine import Engine
from matching.core.events import Cancelled, Event, Refused, Rejected
from matching.core.invariants import check
from matching.core.level import Order
from matching.core.state import export, restore, state_hash
from matching.core.types import Reason
from tests.simulation.generator import FIRST_MID, Generator
from tests.simulation.oracle import Oracle

CHECK_EVERY = 50
REBUILD_EVERY = 2_000
EVERY_EVENT = {
    "Amended",
    "Armed",
    "Decremented",
    "Opened",
    "StatusChanged",
    "Traded",
    "Triggered",
    "Cancelled FOK_UNFILLED",
    "Cancelled IOC_REST",
    "Cancelled MARKET_REST",
    "Cancelled NO_LIQUIDITY",
    "Cancelled OPERATOR_CANCELLED",
    "Cancelled POST_ONLY_WOULD_CROSS",
    "Cancelled SELF_TRADE",
    "Cancelled USER_CANCELLED",
    "Refused ALREADY_TRIGGERED",
    "Refused MARKET_HALTED",
    "Refused POST_ONLY_WOULD_CROSS",
    "Refused QUANTITY_NOT_ABOVE_FILLED",
    "Refused SELF_TRADE",
    "Refused UNKNOWN_ORDER",
    "Rejected FOK_UNFILLED",
    "Rejected MARKET_HALTED",
    "Rejected NO_LIQUIDITY",
    "Rejected POST_ONLY_WOULD_CROSS",
    "Rejected SELF_TRADE",
}


@dataclass
class Comparison:
    """The two engines, and what has been seen so far."""

    core: Engine
    oracle: Oracle
    sequence: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    largest: int = 0
    seconds: float = 0.0

    def run(self, seed: int, commands: int) -> None:
        """Raises AssertionError, naming the seed and the command, at the first difference."""
        for command in islice(Generator(seed), commands):
            self.sequence += 1
            start = time.process_time()
            got = self.core.apply(command, self.sequence)
            self.seconds += time.process_time() - start
            expected = self.oracle.apply(command, self.sequence)
            assert got == expected, f"seed {seed}, command {self.sequence}: {command}\n {got}\n {expected}"
            self.seen.update(map(name_of, got))
            if self.sequence % CHECK_EVERY == 0:
                self.compare_states(seed)
            if self.sequence % REBUILD_EVERY == 0:
                self.rebuild()
        self.compare_states(seed)

    def compare_states(self, seed: int) -> None:
        for book in self.core.books.values():
            check(book)
            self.largest = max(self.largest, len(book.orders))
        hashes = state_hash(self.core), self.oracle.state_hash()
        assert hashes[0] == hashes[1], f"seed {seed}, after command {self.sequence}"

    def rebuild(self) -> None:
        if self.sequence % (2 * REBUILD_EVERY):
            self.core = restore(export(self.core))
        else:
            self.core = Engine(map(recovered, self.core.books.values()))


def recovered(book: Book) -> Book:
    """A book as recovery makes it: from the columns of open orders, in order of priority, and two numbers."""
    fresh = Book(book.instrument, book.status, book.last_trade_number, book.priority_offset)
    for old in sorted([*book.orders.values(), *book.stops.values()], key=lambda order: order.priority):
        columns = {
            name: getattr(old, name) for name in Order.__struct_fields__ if name not in {"newer", "older"}
        }
        fresh.restore_order(Order(**columns), armed=old.id in book.stops)
    return fresh


def name_of(event: Event) -> str:
    name = type(event).__name__
    return f"{name} {event.reason}" if isinstance(event, Cancelled | Rejected | Refused) else name


def comparison() -> Comparison:
    return Comparison(Engine(map(Book, FIRST_MID)), Oracle(FIRST_MID))


@pytest.mark.parametrize("seed", range(6))
def test_core_and_oracle_agree(seed: int) -> None:
    run = comparison()
    run.run(seed, 12_000)
    assert run.seen["Traded"] > 2_000  # else the prices are too far apart to test anything
    assert run.seen.keys() >= EVERY_EVENT, EVERY_EVENT - run.seen.keys()


class Groups:
    """Two groups between which books move, each counting on its own, and one oracle that counts along."""

    def __init__(self) -> None:
        self.engines = [Engine(map(Book, FIRST_MID)), Engine()]
        self.sequences = [0, 5_000]
        self.oracle = Oracle(FIRST_MID)

    def apply(self, command: AnyCommand) -> None:
        group = self.group_of(command.instrument)
        self.sequences[group] += 1
        place = self.sequences[group] + self.oracle.markets[command.instrument].priority_offset
        got = self.engines[group].apply(command, self.sequences[group])
        assert got == self.oracle.apply(command, place), command

    def move(self, instrument: int, name: str) -> None:
        group = self.group_of(instrument)
        source, target = self.engines[group], self.engines[1 - group]
        before = export(source.books[instrument])
        for each in (0, 1):
            self.sequences[each] += 1
        released, adopted = self.sequences[group], self.sequences[1 - group]
        book = source.release(Release(name, instrument, "other"), released)
        target.adopt(book, Adopt(name, instrument, "other", book.priority_offset), adopted)
        self.oracle.markets[instrument].priority_offset += released - adopted
        (after,) = export(book)
        assert [msgspec.structs.replace(after, priority_offset=before[0].priority_offset)] == before

    def group_of(self, instrument: int) -> int:
        return next(group for group, engine in enumerate(self.engines) if instrument in engine.books)

    def check(self) -> None:
        everything = Engine(book for engine in self.engines for book in engine.books.values())
        for book in everything.books.values():
            check(book)
        assert state_hash(everything) == self.oracle.state_hash()


@pytest.mark.parametrize("seed", range(3))
def test_books_that_move_between_groups_stay_as_the_oracle_says(seed: int) -> None:
    groups = Groups()
    for number, command in enumerate(islice(Generator(seed), 4_000), 1):
        groups.apply(command)
        if number % 70 == 0:
            groups.move(1 + number // 70 % 2, f"move-{number}")
            groups.check()
        if number % 300 == 0:
            groups.engines = [restore(export(engine)) for engine in groups.engines]
    assert min(groups.sequences) > 1_000


def test_a_book_is_adopted_as_it_was_released_or_not_at_all() -> None:
    groups = Groups()
    book = groups.engines[0].release(Release("one", 1, "other"), 7)
    assert 1 not in groups.engines[0].books
    with pytest.raises(AssertionError):
        groups.engines[1].adopt(book, Adopt("two", 1, "other", 8), 5_001)
    groups.engines[1].adopt(book, Adopt("two", 1, "other", 7), 5_001)
    assert book.priority_offset == 7 - 5_001


def test_the_names_of_events_are_all_there_are() -> None:
    """What the core never says belongs to others: a new reason must be added to EVERY_EVENT or here."""
    said = {name.partition(" ")[2] for name in EVERY_EVENT} - {""}
    assert set(Reason) - said == {Reason.INSUFFICIENT_FUNDS, Reason.NOT_AMENDABLE}


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the matching core with the oracle.")
    parser.add_argument("--commands", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    run, start, step = comparison(), time.monotonic(), 10_000
    for part in range(0, options.commands, step):
        try:
            run.run(options.seed + part // step, min(step, options.commands - part))
        except AssertionError as error:
            print(f"\nDIFFERENT after {run.sequence:,} commands: {error}", file=sys.stderr)
            return 1
        rate = run.sequence / (time.monotonic() - start)
        print(f"\r{run.sequence:>12,} commands, {rate:,.0f}/s", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(f"{run.sequence:,} commands in {time.monotonic() - start:.0f} s, all events and hashes equal")
    print(f"core alone {run.sequence / run.seconds:,.0f} commands/s; largest book {run.largest} orders")
    for name, count in sorted(run.seen.items()):
        print(f"{count:>10,}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
