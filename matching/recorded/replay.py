"""Recorded flow as commands for the core, and the venue's fills as the answer sheet.

A venue that matches by price, then time, says of every trade which resting orders it filled. We send
what led there to our own core and compare, resting order by resting order, in order.

Rules of this file: no Django, no database, no clock, no I/O. It takes events, drives an `Engine`, counts.

How rows become commands.

- Until the market opens, orders may cross and nothing trades: rows are only kept. After the opening
  auction, whose fills are taken off as they are, all that stands is placed in order of priority.
- An aggressor that is new is placed, to be filled at once or cancelled; or, if some of it rests in the
  end, as a limit order for all it filled and left. One that rests already is amended into the market.
- A, C and M rows that only show what those fills did are no commands; all others are.
- Orders of one owner (see `hindsight.py`) have one user, and the incoming one cancels what it meets of
  its own, as the venue's do: the core's self-trade prevention has to find by itself which those are.

What the venue shows is kept beside our book. After a difference our book is loaded again from it, so that
each aggressor is judged on its own. From time to time, and at the end, both are compared as a whole.

Known limitation. Only limit orders are sent: whether an aggressor was a market order or a triggered stop
is not recorded, nor how much of it was cancelled.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from matching.core.commands import Amend, AnyCommand, Cancel, Place
from matching.core.engine import Engine
from matching.core.events import Cancelled, Event, Traded
from matching.core.types import OrderId, OrderType, Reason, SelfTradePrevention, Side, TimeInForce
from matching.recorded.inferred import Hindsight
from matching.recorded.recording import AUCTION, SIDES, Aggressor, Fill, Row, Venue, steps

INSTRUMENT = 1
COMPARE_BOOKS_EVERY = 500  # events


class Comparison(StrEnum):
    """How an aggressor's fills compare."""

    EXACT = "exact"
    ICEBERG = "iceberg"
    LISTED_OTHERWISE = "listed otherwise"
    UNEXPLAINED = "unexplained"


EXPLANATIONS = {
    Comparison.EXACT: "the same resting orders in the same order, at the same prices, for the same lots",
    Comparison.ICEBERG: "one of the orders filled had more than it showed, which nobody outside can know",
    Comparison.LISTED_OTHERWISE: "the same orders, prices and lots; the venue lists an order after later ones",
    Comparison.UNEXPLAINED: "the recording does not say why",
}


class Difference(NamedTuple):
    """An incoming order that traded otherwise here than at the venue."""

    sequence: int
    order: OrderId
    kind: Comparison
    ours: list[Fill]
    theirs: list[Fill]


@dataclass
class Report:
    rows: int = 0
    events: int = 0
    commands: int = 0  # without those that load a book
    auction_fills: int = 0
    aggressors: Counter[Comparison] = field(default_factory=Counter)
    fills: int = 0
    fills_alike: int = 0
    self_matched_there: set[OrderId] = field(default_factory=set)
    self_matched_here: set[OrderId] = field(default_factory=set)
    books_compared: int = 0
    books_alike: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Exact ones among all aggressors of the continuous trading."""
        return self._share_of(self.aggressors.total())

    @property
    def share_without_icebergs(self) -> float:
        return self._share_of(self.aggressors.total() - self.aggressors[Comparison.ICEBERG])

    @property
    def passed(self) -> bool:
        """Over 99 % exact with icebergs set apart, nothing unexplained, and the books always alike."""
        alike = self.books_alike == self.books_compared and self.self_matched_here == self.self_matched_there
        return self.share_without_icebergs > 0.99 and not self.aggressors[Comparison.UNEXPLAINED] and alike

    def _share_of(self, aggressors: int) -> float:
        return self.aggressors[Comparison.EXACT] / aggressors if aggressors else 0.0


class Replay:
    """Feed it events in order; `report` is up to date after each."""

    def __init__(self, hindsight: Hindsight) -> None:
        self.report = Report(self_matched_there=hindsight.self_matched)
        self._hindsight = hindsight
        self._venue = Venue()
        self._engine = Engine()
        self._book = self._engine.add(INSTRUMENT)
        self._open = False
        self._sequence = 0

    def event(self, rows: list[Row]) -> None:
        self.report.events += 1
        self.report.rows += len(rows)
        auction = any(row.side == AUCTION for row in rows)
        if not self._open and not auction and any(row.action == "T" for row in rows):
            self._load()
        if auction or not self._open:
            self._keep(rows)
            if auction:
                self._load()
            return
        for step in steps(rows):
            if isinstance(step, Aggressor):
                self._aggress(step)
            else:
                self._follow(step)
        if self.report.events % COMPARE_BOOKS_EVERY == 0:
            self.compare_books()

    def compare_books(self) -> None:
        """Our whole book against what the venue shows: orders, prices, sizes and places."""
        if not self._open:
            return
        alike = True
        for side in Side:
            ours = [
                (order.id, order.price, order.remaining)
                for level in self._book.ladder(side)
                for order in level
            ]
            theirs = [(order.order, order.price, order.size) for order in self._venue.side(side)]
            alike = alike and ours == theirs
        self.report.books_compared += 1
        self.report.books_alike += alike

    # -- while nothing trades continuously: rows are kept, not sent

    def _keep(self, rows: list[Row]) -> None:
        for row in rows:
            self._venue.follow(row)
            self.report.auction_fills += row.action == "F"

    def _load(self) -> None:
        """A new book with all that the venue shows, placed in order of priority."""
        self._engine = Engine()
        self._book = self._engine.add(INSTRUMENT)
        self._open = True
        for order in self._venue.resting.values():
            self._apply(self._place(order.order, order.side, order.price, order.size))

    # -- continuous trading

    def _follow(self, row: Row) -> None:
        """A row of its own: a command, unless it only shows what the fills before it did."""
        old = self._venue.resting.get(row.order)
        before = None if old is None else (old.price, old.size)
        self._venue.follow(row)
        if row.action == "C":
            if row.order not in self._book.orders:
                return
            command: AnyCommand = Cancel(self._name(), INSTRUMENT, row.order)
        elif before == (row.price, row.size):
            return
        elif row.order in self._book.orders:
            command = self._amend(row.order, row.price, row.size)
        else:
            command = self._place(row.order, SIDES[row.side], row.price, row.size)
        ours = _fills(self._send(command))
        if ours:
            self._differs(Difference(row.sequence, row.order, Comparison.UNEXPLAINED, ours, []))

    def _aggress(self, aggressor: Aggressor) -> None:
        """Send what the aggressor asked for, and compare what it got."""
        size = aggressor.size + (aggressor.left.size if aggressor.left else 0)
        if aggressor.order in self._book.orders:
            command: AnyCommand = self._amend(aggressor.order, aggressor.limit, size)
        else:
            time_in_force = TimeInForce.GTC if aggressor.left else TimeInForce.IOC
            command = self._place(aggressor.order, aggressor.side, aggressor.limit, size, time_in_force)
        self._venue.trade(aggressor)

        ours, theirs = _fills(self._send(command)), list(aggressor.fills)
        self.report.fills += len(theirs)
        self.report.fills_alike += (Counter(ours) & Counter(theirs)).total()
        if ours == theirs:
            self.report.aggressors[Comparison.EXACT] += 1
        else:
            kind = self._kind(ours, theirs)
            self._differs(Difference(aggressor.sequence, aggressor.order, kind, ours, theirs))

    def _kind(self, ours: list[Fill], theirs: list[Fill]) -> Comparison:
        if any(fill.maker in self._hindsight.icebergs for fill in theirs):
            return Comparison.ICEBERG
        return Comparison.LISTED_OTHERWISE if sorted(ours) == sorted(theirs) else Comparison.UNEXPLAINED

    def _differs(self, difference: Difference) -> None:
        self.report.aggressors[difference.kind] += 1
        self.report.differences.append(difference)
        self._load()

    # -- commands

    def _place(
        self, order: OrderId, side: Side, price: int, size: int, time_in_force: TimeInForce = TimeInForce.GTC
    ) -> Place:
        return Place(
            order,
            INSTRUMENT,
            self._hindsight.owner(order),
            side,
            OrderType.LIMIT,
            time_in_force,
            price,
            size,
            prevention=SelfTradePrevention.CANCEL_OLDEST,
        )

    def _amend(self, order: OrderId, price: int, remaining: int) -> Amend:
        ours = self._book.orders[order]
        return Amend(self._name(), INSTRUMENT, order, price, ours.quantity - ours.remaining + remaining)

    def _send(self, command: AnyCommand) -> list[Event]:
        self.report.commands += 1
        return self._apply(command)

    def _apply(self, command: AnyCommand) -> list[Event]:
        self._sequence += 1
        events = self._engine.apply(command, self._sequence)
        for event in events:
            if isinstance(event, Cancelled) and event.reason is Reason.SELF_TRADE:
                self.report.self_matched_here.add(event.order)
        return events

    def _name(self) -> str:
        return f"command-{self._sequence + 1}"


def _fills(events: list[Event]) -> list[Fill]:
    return [Fill(event.maker, event.price, event.quantity) for event in events if isinstance(event, Traded)]
