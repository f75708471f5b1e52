"""What only the whole recording gives away: which orders had one owner, and which were icebergs.

The rows do not say whose an order is. But the venue's self-match prevention takes out a resting order
that an incoming order of the same owner meets, in the same event. So an order that was in the way of an
incoming one, that was passed over by it, and that a C row of that event takes out, has the same owner.

An iceberg shows a part of itself. One gives itself away when it is filled for more than it shows, or is
shown again after all that it showed was filled.

Rules of this file: it gives no more than names; what the core makes of them is the core's business.

Known limitation. Owners whose orders never met, and icebergs that were never used up, remain unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from matching.core.types import Side
from matching.recorded.recording import SIDES, Aggressor, RestingOrder, Row, Venue, steps


class Incoming(NamedTuple):
    """An order that came in during an event, how far it reached, and the last it filled."""

    order: str
    side: Side
    limit: int
    fills: frozenset[str]
    last: RestingOrder | None  # None: it rests, so it passed all within its limit

    def passed(self, other: RestingOrder) -> bool:
        """Whether the other would have been filled before it, and was not."""
        if other.side is self.side or other.order in self.fills or not self._within(other.price, self.limit):
            return False
        if self.last is None:
            return True
        if other.price == self.last.price:
            return other.priority < self.last.priority
        return self._within(other.price, self.last.price)

    def _within(self, price: int, limit: int) -> bool:
        return price <= limit if self.side is Side.BUY else price >= limit


class Hindsight:
    """`self_matched` are the orders that self-match prevention took out."""

    def __init__(self, events: Iterable[list[Row]]) -> None:
        self.self_matched: set[str] = set()
        self._same_as: dict[str, str] = {}
        venue = Venue()
        for event in events:
            self._learn(event, venue)
        self.icebergs = frozenset(venue.icebergs)

    def owner(self, order: str) -> str:
        """A name for the order's owner: the id of one of the owner's orders."""
        while order in self._same_as:
            order = self._same_as[order]
        return order

    def _learn(self, event: list[Row], venue: Venue) -> None:
        incoming: list[Incoming] = []
        for step in steps(event):
            if isinstance(step, Aggressor):
                incoming.extend(_aggressor(step, venue))
                venue.trade(step)
                continue
            resting = venue.resting.get(step.order)
            if step.action == "C" and resting is not None:
                self._cancelled(resting, incoming)
            elif step.action in "AM":
                incoming.append(Incoming(step.order, SIDES[step.side], step.price, frozenset(), None))
            venue.follow(step)

    def _cancelled(self, resting: RestingOrder, incoming: list[Incoming]) -> None:
        for other in incoming:
            if other.passed(resting):
                self.self_matched.add(resting.order)
                self._join(resting.order, other.order)
                return

    def _join(self, one: str, other: str) -> None:
        one, other = self.owner(one), self.owner(other)
        if one != other:
            self._same_as[one] = other


def _aggressor(aggressor: Aggressor, venue: Venue) -> list[Incoming]:
    """Nothing if it is not known how far it got."""
    last = venue.resting.get(aggressor.fills[-1].maker) if aggressor.fills else None
    if aggressor.left is not None:
        last = None
    elif last is None:
        return []
    fills = frozenset(fill.maker for fill in aggressor.fills)
    return [Incoming(aggressor.order, aggressor.side, aggressor.limit, fills, last)]
