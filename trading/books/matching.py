"""The ledger against a bank's statement, line by line. Pure.

First by reference: a name that both sides know. Amount or day may differ then, which is reported. What no reference
finds is matched by amount and day, nearest day first, after all references have had their turn. What is left over on
either side is `extra` (the bank has it, the ledger does not) or `missing` (the other way round).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal, NamedTuple

from trading.books.bank_statement import Line

Kind = Literal["amount differs", "date differs", "duplicate", "extra", "missing"]


class Finding(NamedTuple):
    """`where` is the place in the statement, `booking` the ledger transaction; what there is none of is empty."""

    kind: Kind
    where: str
    booking: str
    day: date
    amount: Decimal
    detail: str


@dataclass(slots=True, eq=False)
class Booking:
    """What the ledger has on its side. `wanted`: the statement must have it, as it is within its time."""

    id: str
    day: date
    amount: Decimal
    references: tuple[str, ...]
    wanted: bool = True
    taken: Line | None = None


@dataclass
class Matcher:
    """`days`: how far apart both sides may say that it was. `under_way`: what is known by a reference, and not booked
    yet, in words."""

    bookings: list[Booking]
    days: int
    under_way: dict[str, str] = field(default_factory=dict)
    by_reference: int = 0
    by_amount: int = 0
    _names: dict[str, list[Booking]] = field(default_factory=lambda: defaultdict(list))
    _left: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        for booking in self.bookings:
            for name in booking.references:
                self._names[name].append(booking)

    @property
    def matched(self) -> int:
        return self.by_reference + self.by_amount

    def run(self, lines: Iterable[Line]) -> Iterator[Finding]:
        for line in lines:
            yield from self._by_reference(line)
        yield from self._by_amount()
        yield from self._missing()

    def _by_reference(self, line: Line) -> Iterator[Finding]:
        known = [booking for name in (*line.references, *line.words) for booking in self._names.get(name, ())]
        free = [booking for booking in known if booking.taken is None]
        if not known:
            self._left.append(line)
        elif not free:
            first = known[0].taken
            assert first is not None
            yield _of_line("duplicate", line, known[0].id, f"the same as {first.where}")
        else:
            booking = min(free, key=lambda each: (each.amount != line.amount, _apart(each, line), each.id))
            booking.taken = line
            self.by_reference += 1
            if booking.amount != line.amount:
                yield _of_line("amount differs", line, booking.id, f"the ledger has {booking.amount:f}")
            elif _apart(booking, line) > self.days:
                yield _of_line("date differs", line, booking.id, f"the ledger has {booking.day}")

    def _by_amount(self) -> Iterator[Finding]:
        """What is of the same day first, then whatever is near enough, in order of time."""
        lines: dict[Decimal, list[Line]] = defaultdict(list)
        for line in self._left:
            lines[line.amount].append(line)
        free: dict[Decimal, list[Booking]] = defaultdict(list)
        for booking in self.bookings:
            if booking.taken is None and booking.amount in lines:
                free[booking.amount].append(booking)
        for amount, bookings in free.items():
            bookings.sort(key=lambda booking: (booking.day, booking.id))
            rest = self._pair(sorted(lines[amount], key=lambda line: line.day), bookings, days=0)
            lines[amount] = self._pair(
                rest, [each for each in bookings if each.taken is None], days=self.days
            )
        seen: dict[tuple[tuple[str, ...], Decimal], Line] = {}
        unmatched = {id(line) for each in lines.values() for line in each}
        for line in (line for line in self._left if id(line) in unmatched):
            before = seen.setdefault((line.references, line.amount), line) if line.references else line
            if before is line:
                known = (
                    self.under_way[name] for name in (*line.references, *line.words) if name in self.under_way
                )
                yield _of_line("extra", line, "", next(known, "the ledger has nothing like it"))
            else:
                yield _of_line("duplicate", line, "", f"the same as {before.where}")

    def _pair(self, lines: list[Line], bookings: list[Booking], *, days: int) -> list[Line]:
        """Both in order of time, and all of one amount. The lines that are left."""
        left, at = [], 0
        for line in lines:
            while at < len(bookings) and (line.day - bookings[at].day).days > days:
                at += 1
            if at < len(bookings) and _apart(bookings[at], line) <= days:
                bookings[at].taken = line
                self.by_amount += 1
                at += 1
            else:
                left.append(line)
        return left

    def _missing(self) -> Iterator[Finding]:
        for booking in self.bookings:
            if booking.taken is not None or not booking.wanted:
                continue
            twin = next((other for name in booking.references for other in self._names[name]
                         if other is not booking and other.taken and other.amount == booking.amount), None)  # fmt: skip
            if twin is None:
                yield Finding(
                    "missing", "", booking.id, booking.day, booking.amount, "the statement has no such line"
                )
            else:
                detail = f"booked twice: {twin.id} has the same reference, the statement has it once"
                yield Finding("duplicate", "", booking.id, booking.day, booking.amount, detail)


def _apart(booking: Booking, line: Line) -> int:
    return abs((booking.day - line.day).days)


def _of_line(kind: Kind, line: Line, booking: str, detail: str) -> Finding:
    name = f" ({line.shown})" if line.shown else ""
    return Finding(kind, line.where, booking, line.day, line.amount, f"{detail}{name}")
