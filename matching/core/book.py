"""The book of one instrument: what rests, what is armed, and how to find it.

Rules of this file: it keeps the state and its indexes together and in step. It never decides: who
matches whom, and what is refused, is in `match.py`. No events are made here.

State. `bids` and `asks` hold the resting orders by price and time; `orders` the same by id; `stops`
the armed stops by id; `by_user` both kinds by user. An order is in exactly one of `orders` and
`stops`. `status`, `last_trade_number` and `priority_offset` are state too.

Ordering. `priority` is unique in a book. Armed stops have no queue: they leave it as the worker's
triggers say.

Places are counted by the sequence of the group that the book is in, plus `priority_offset`, so that they go on
rising when the book moves to a group that has counted less (or more).

Duplicates. Adding an id that is in the book is a broken invariant: the worker filters duplicates.
"""

from __future__ import annotations

from matching.core.level import Ladder, Order
from matching.core.types import InstrumentId, MarketStatus, OrderId, Side, UserId


class Book:
    __slots__ = (
        "asks",
        "bids",
        "by_user",
        "instrument",
        "last_trade_number",
        "orders",
        "priority_offset",
        "status",
        "stops",
    )

    def __init__(
        self,
        instrument: InstrumentId,
        status: MarketStatus = MarketStatus.TRADING,
        last_trade_number: int = 0,
        priority_offset: int = 0,
    ) -> None:
        self.instrument = instrument
        self.status = status
        self.last_trade_number = last_trade_number
        self.priority_offset = priority_offset
        self.bids = Ladder(Side.BUY)
        self.asks = Ladder(Side.SELL)
        self.orders: dict[OrderId, Order] = {}
        self.stops: dict[OrderId, Order] = {}
        self.by_user: dict[UserId, dict[OrderId, Order]] = {}

    # -- reading

    @property
    def best_bid(self) -> int | None:
        level = self.bids.best
        return None if level is None else level.price

    @property
    def best_ask(self) -> int | None:
        level = self.asks.best
        return None if level is None else level.price

    def ladder(self, side: Side) -> Ladder:
        return self.bids if side is Side.BUY else self.asks

    def find(self, order: OrderId) -> Order | None:
        """A resting order or an armed stop."""
        return self.orders.get(order) or self.stops.get(order)

    def of_user(self, user: UserId) -> list[Order]:
        """All that the user has here, resting or armed, oldest place first."""
        return sorted(self.by_user.get(user, {}).values(), key=lambda order: order.priority)

    def depth(self, limit: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """The best `limit` levels of bids and asks, each (price in ticks, total in lots), best first."""
        return _top(self.bids, limit), _top(self.asks, limit)

    # -- changing

    def rest(self, order: Order) -> None:
        """Put an order at the back of the queue at its price."""
        self._index(order, self.orders)
        self.ladder(order.side).append(order)

    def arm(self, order: Order) -> None:
        """Keep a stop until it is triggered."""
        self._index(order, self.stops)

    def remove(self, order: Order) -> None:
        """Take out an order that rests here."""
        self.ladder(order.side).remove(order)
        self._unindex(order, self.orders)

    def disarm(self, order: Order) -> None:
        """Take out an armed stop."""
        self._unindex(order, self.stops)

    def restore_order(self, order: Order, *, armed: bool = False) -> None:
        """Put an order back where it was, as recovery does from what was stored.

        Within a price and side the caller gives orders by rising priority. `armed` tells a stop that
        still waits from a STOP_LIMIT that was triggered and now rests.
        """
        assert 0 < order.remaining <= order.quantity, order
        assert order.priority > 0, order
        assert order.is_stop if armed else not order.is_market, order
        if armed:
            self.arm(order)
        else:
            self.rest(order)

    def _index(self, order: Order, kind: dict[OrderId, Order]) -> None:
        assert self.find(order.id) is None, order
        kind[order.id] = order
        theirs = self.by_user.get(order.user)
        if theirs is None:
            self.by_user[order.user] = {order.id: order}
        else:
            theirs[order.id] = order

    def _unindex(self, order: Order, kind: dict[OrderId, Order]) -> None:
        del kind[order.id]
        theirs = self.by_user[order.user]
        del theirs[order.id]
        if not theirs:
            del self.by_user[order.user]


def _top(ladder: Ladder, limit: int) -> list[tuple[int, int]]:
    return [(level.price, level.total) for level, _ in zip(ladder, range(limit), strict=False)]
