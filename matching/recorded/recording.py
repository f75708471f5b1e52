"""Recorded market-by-order rows: reading them, seeing whole events in them, and what they say stands.

Rules of this file: it knows the file's format and nothing of our own core but which side is which. Prices
come out in ticks. No Django, no clock; the only I/O is reading the file.

Layout. A row is one message part of the venue (`COLUMNS`): A add, C cancel, M modify, T trade (the
aggressor), F fill (a resting order that the T before it hit). Rows up to one with flag 128 are one
event; a side of N marks an auction. T rows of one order that follow each other (at several prices),
with their F rows, are one `Aggressor`. If it rested before and was amended into the market, F rows of
its own show its other half of the trade; they are no fills of a resting order. What is left of it and
rests is shown by an A row, or an M row if it rested before, later in the event. C and M rows also show
what the fills before them did.

Known limitation. `TICK` is that of one contract, in which all prices must be whole.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from matching.core.types import Side

COLUMNS = ["ts_event", "sequence", "action", "side", "order_id", "price", "size", "flags"]
ACTIONS = frozenset("ACMTF")
SIDES = {"B": Side.BUY, "A": Side.SELL}
AUCTION = "N"
LAST_OF_EVENT = 128
TICK = 250_000_000  # 0.25 index points, in the file's units of 1e-9


class FlowError(ValueError):
    """The file is not a recording that we can read; the message says where and why."""


class Row(NamedTuple):
    time: int
    sequence: int
    action: str
    side: str
    order: str
    price: int  # ticks
    size: int
    flags: int


class Fill(NamedTuple):
    maker: str
    price: int
    size: int


@dataclass(frozen=True)
class Aggressor:
    """An order that traded on arrival: `size` lots, down to the `worst` price, as the `fills` say.

    `left` is the row that shows what rests of it, if any of it does.
    """

    sequence: int
    order: str
    side: Side
    size: int
    worst: int
    fills: tuple[Fill, ...]
    left: Row | None

    @property
    def limit(self) -> int:
        """Its limit price, as far as the recording shows."""
        return self.worst if self.left is None else self.left.price


# -- reading


def read(path: Path) -> Iterator[Row]:
    """The rows of a .csv or .csv.gz file. Raises FlowError, and OSError if it cannot be opened."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="ascii", newline="") as file:
        lines = csv.reader(file)
        try:
            header = next(lines, [])
            if header != COLUMNS:
                found = ",".join(header)[:200] or "nothing"
                raise FlowError(f"{path}: the columns must be {','.join(COLUMNS)}, not {found}")
            for cells in lines:
                yield _row(cells, f"{path}, line {lines.line_num}")
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error, csv.Error) as error:
            raise FlowError(f"{path}, line {lines.line_num + 1}: {error}") from error


def _row(cells: list[str], place: str) -> Row:
    try:
        time, sequence, action, side, order, price, size, flags = cells
        row = Row(int(time), int(sequence), action, side, order, int(price), int(size), int(flags))
    except ValueError as error:
        raise FlowError(f"{place}: {error}") from error
    known = row.side in SIDES or (row.side == AUCTION and row.action in "TFC")
    if row.action not in ACTIONS or not known:
        raise FlowError(f"{place}: action {row.action!r} of side {row.side!r}")
    ticks, rest = divmod(row.price, TICK)
    if rest or ticks <= 0 or row.size <= 0:
        raise FlowError(
            f"{place}: price {row.price} is no multiple of {TICK}, or it or size {row.size} is not positive"
        )
    return row._replace(price=ticks)


# -- whole events


def events(rows: Iterable[Row]) -> Iterator[list[Row]]:
    event: list[Row] = []
    for row in rows:
        event.append(row)
        if row.flags & LAST_OF_EVENT:
            yield event
            event = []
    if event:
        yield event


def steps(event: list[Row]) -> Iterator[Row | Aggressor]:
    """An event's rows in order, with T and F rows gathered into aggressors; an auction's stay rows."""
    at = 0
    while at < len(event):
        first, end = event[at], at + 1
        if first.action != "T" or first.side == AUCTION:
            yield first
        else:
            while end < len(event) and _belongs(event[end], first):
                end += 1
            yield _aggressor(event[at:end], event[end:])
        at = end


def _belongs(row: Row, first: Row) -> bool:
    return row.action == "F" or (row.action == "T" and row.order == first.order)


def _aggressor(rows: list[Row], following: list[Row]) -> Aggressor:
    order, side = rows[0].order, SIDES[rows[0].side]
    trades = [row for row in rows if row.action == "T"]
    prices = [row.price for row in trades]
    return Aggressor(
        sequence=rows[0].sequence,
        order=order,
        side=side,
        size=sum(row.size for row in trades),
        worst=max(prices) if side is Side.BUY else min(prices),
        fills=tuple(Fill(r.order, r.price, r.size) for r in rows if r.action == "F" and r.order != order),
        left=next((row for row in following if row.order == order and row.action in "AM"), None),
    )


# -- what stands


@dataclass
class RestingOrder:
    """An order in the market; of two at one price the one with the lower `priority` is first."""

    order: str
    side: Side
    price: int
    size: int
    priority: int


class Venue:
    """The orders that stand in the market according to the rows, by id, in order of priority.

    Unlike a book it may be crossed: before the opening, and within an event. `icebergs` are the orders
    that turned out to have more than they showed.
    """

    def __init__(self) -> None:
        self.resting: dict[str, RestingOrder] = {}
        self.icebergs: set[str] = set()
        self._priorities = 0

    def follow(self, row: Row) -> None:
        """Any row but those of an `Aggressor`. Only a lower size at the same price keeps its priority."""
        old = self.resting.get(row.order)
        if row.action == "C":
            self.resting.pop(row.order, None)
        elif row.action == "F":
            self._fill(row.order, row.size)
        elif row.action == "T":
            pass  # an auction's: its F rows say all
        elif old is not None and old.price == row.price and row.size <= old.size:
            old.size = row.size
        else:
            if old is None and row.action == "M":
                self.icebergs.add(row.order)
            self._append(row)

    def trade(self, aggressor: Aggressor) -> None:
        """Take its fills off, and put what is left of it at the back of its price."""
        for fill in aggressor.fills:
            self._fill(fill.maker, fill.size)
        self.resting.pop(aggressor.order, None)
        if aggressor.left is not None:
            self._append(aggressor.left)

    def _fill(self, order: str, size: int) -> None:
        resting = self.resting.get(order)
        if resting is None:
            return
        resting.size -= size
        if resting.size < 0:
            self.icebergs.add(order)
        if resting.size <= 0:
            del self.resting[order]

    def _append(self, row: Row) -> None:
        """Put the order at the back of its price, without any priority that it had."""
        self.resting.pop(row.order, None)
        self._priorities += 1
        self.resting[row.order] = RestingOrder(
            row.order, SIDES[row.side], row.price, row.size, self._priorities
        )

    def side(self, side: Side) -> list[RestingOrder]:
        """Best price first, and by priority within a price."""
        resting = [order for order in self.resting.values() if order.side is side]
        return sorted(resting, key=lambda order: -order.price if side is Side.BUY else order.price)
