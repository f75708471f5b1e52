"""A market of one instrument for tests that read like a trading day: orders in, events out.

Every order's id is given by the test; the user is the part of it before the dash, so "ann-1" and "ann-2"
are both Ann's. Prices are ticks and quantities lots. The book's invariants are checked after each command.
"""

from __future__ import annotations

from typing import Any

from matching.core.book import Book
from matching.core.commands import Amend, AnyCommand, Cancel, CancelAll, Halt, Place, Resume, Trigger
from matching.core.engine import Engine
from matching.core.events import Event, Traded
from matching.core.invariants import check
from matching.core.types import MarketStatus, OrderType, SelfTradePrevention, Side, TimeInForce

Depth = list[tuple[int, int]]

INSTRUMENT = 1
LIMIT = OrderType.LIMIT
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK
NEWEST, OLDEST = SelfTradePrevention.CANCEL_NEWEST, SelfTradePrevention.CANCEL_OLDEST
BOTH, DECREMENT = SelfTradePrevention.CANCEL_BOTH, SelfTradePrevention.DECREMENT


class Market:
    def __init__(self, collar_ppm: int = 100_000) -> None:
        self.collar_ppm = collar_ppm
        self.engine = Engine()
        self.book: Book = self.engine.add(INSTRUMENT)
        self.sequence = 0

    def buy(self, order: str, quantity: int, price: int, kind: OrderType = LIMIT, **more: Any) -> list[Event]:
        return self.place(Side.BUY, order, quantity, price, kind, **more)

    def sell(
        self, order: str, quantity: int, price: int, kind: OrderType = LIMIT, **more: Any
    ) -> list[Event]:
        return self.place(Side.SELL, order, quantity, price, kind, **more)

    def place(
        self,
        side: Side,
        order: str,
        quantity: int,
        price: int,
        kind: OrderType = LIMIT,
        time_in_force: TimeInForce = GTC,
        **more: Any,
    ) -> list[Event]:
        user = order.partition("-")[0]
        more.setdefault("collar_ppm", self.collar_ppm)
        return self.send(Place(order, INSTRUMENT, user, side, kind, time_in_force, price, quantity, **more))

    def cancel(self, order: str) -> list[Event]:
        return self.send(Cancel("c", INSTRUMENT, order))

    def cancel_all(self, user: str) -> list[Event]:
        return self.send(CancelAll("c", INSTRUMENT, user))

    def amend(self, order: str, quantity: int, price: int) -> list[Event]:
        return self.send(Amend("c", INSTRUMENT, order, price, quantity))

    def trigger(self, order: str, price: int = 100) -> list[Event]:
        return self.send(Trigger("c", INSTRUMENT, order, price, self.collar_ppm))

    def halt(self, status: MarketStatus) -> list[Event]:
        return self.send(Halt("c", INSTRUMENT, status))

    def resume(self) -> list[Event]:
        return self.send(Resume("c", INSTRUMENT))

    def send(self, command: AnyCommand) -> list[Event]:
        self.sequence += 1
        events = self.engine.apply(command, self.sequence)
        check(self.book)
        return events

    @property
    def bids(self) -> Depth:
        return self.book.depth(100)[0]

    @property
    def asks(self) -> Depth:
        return self.book.depth(100)[1]


def fills(events: list[Event]) -> list[tuple[str, int, int]]:
    """(maker, quantity, price) of each trade."""
    return [(event.maker, event.quantity, event.price) for event in events if isinstance(event, Traded)]
