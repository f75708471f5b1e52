"""A market in memory: the real matching core, a clock, and people who act in turn.

What people do becomes commands of `matching.core`; what it answers becomes the same records that the event stream
gives in production, by the same `displayed.follow`. A tick is 1; people think in units of 100 lots. Everything follows
from the seed.

A person is a generator that yields how many seconds it waits before it acts again.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache

import msgspec

from matching.core import events
from matching.core.book import Book
from matching.core.commands import AnyCommand, Cancel, Place
from matching.core.engine import Engine
from matching.core.types import OrderType, Side, TimeInForce
from risk.detectors import displayed
from risk.detectors import records as seen

BOOK = 1
OPENING = 10_000  # ticks, so that one is a basis point
IMPACT = 0.02  # ticks a unit
LOTS = 100  # in a unit
Person = Iterator[float]


class _Order(msgspec.Struct):
    user: str
    side: Side
    price: int
    quantity: int
    placed: int
    remaining: int
    filled: int = 0
    filled_before: int = 0  # when it was displayed
    shown: int | None = None  # its place in `SimulatedMarket.shown`


class SimulatedMarket:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - it must be the same again
        self.now = 0  # microseconds
        self.value = float(OPENING)  # what a unit is worth; people know it more or less
        self.pressure = 0.0  # ticks by which those who take have moved what others believe; it wears off
        self.trades: list[seen.Trade] = []
        self.shown: list[seen.DisplayedOrder] = []
        self._engine = Engine()
        self.book: Book = self._engine.add(BOOK)
        self._orders: dict[str, _Order] = {}
        self._sequence = itertools.count(1)
        self._turns: list[tuple[int, int, Person]] = []
        self._names = itertools.count(1)

    # -- people

    def enter(self, person: Person, after: float = 0.0) -> None:
        turn = self.now + round(after * seen.SECOND)
        heapq.heappush(self._turns, (turn, next(self._names), person))

    def run(self, seconds: float) -> None:
        """Let all act until then; a person that has come to an end leaves."""
        until = round(seconds * seen.SECOND)
        while self._turns and self._turns[0][0] <= until:
            self.now, _, person = heapq.heappop(self._turns)
            wait = next(person, None)
            if wait is not None:
                self.enter(person, wait)

    # -- what they may do

    def place(self, user: str, side: Side, price: float, quantity: float, *, ioc: bool = False) -> str:
        """A limit order; its id."""
        number = next(self._sequence)
        order = f"o{number}"
        ticks, lots = max(1, round(price)), max(1, round(quantity * LOTS))
        self._orders[order] = _Order(user, side, ticks, lots, self.now, lots)
        in_force = TimeInForce.IOC if ioc else TimeInForce.GTC
        self._apply(Place(order, BOOK, user, side, OrderType.LIMIT, in_force, ticks, lots), number)
        return order

    def cancel(self, order: str) -> None:
        """Of no effect on an order that is gone."""
        if order in self.book.orders:
            number = next(self._sequence)
            self._apply(Cancel(f"c{number}", BOOK, order), number)

    def take(self, user: str, side: Side, quantity: float, reach: int = 20) -> None:
        """An order that trades at once, up to `reach` ticks beyond the best price, or not at all."""
        best = self.book.best_ask if side is Side.BUY else self.book.best_bid
        if best is not None:
            self.place(user, side, best + (reach if side is Side.BUY else -reach), quantity, ioc=True)

    # -- what they see

    @property
    def bid(self) -> int:
        return self.book.best_bid or min(round(self.value), self.ask_or_none or OPENING * 9) - 2

    @property
    def ask(self) -> int:
        return self.ask_or_none or max(round(self.value), self.book.best_bid or 0) + 2

    @property
    def ask_or_none(self) -> int | None:
        return self.book.best_ask

    @property
    def mid(self) -> float:
        return (self.bid + self.ask) / 2

    def imbalance(self) -> float:
        """Of the depth in the best five levels, from -1 (all offered) to 1 (all bid)."""
        bids, asks = self.book.depth(5)
        bid, ask = sum(quantity for _, quantity in bids), sum(quantity for _, quantity in asks)
        return (bid - ask) / (bid + ask) if bid + ask else 0.0

    def change(self, seconds: float) -> float:
        """Of the last price since then, in ticks."""
        since = self.now - round(seconds * seen.SECOND)
        last = None
        for trade in reversed(self.trades):
            last = last or trade.price
            if trade.at < since:
                return float(last - trade.price)
        return 0.0

    def filled(self, order: str) -> float:
        return self._orders[order].filled / LOTS

    # -- what is recorded

    def _apply(self, command: AnyCommand, sequence: int) -> None:
        changed: dict[str, str] = {}
        for event in self._engine.apply(command, sequence):
            match event:
                case events.Traded():
                    for order, left in (
                        (event.maker, event.maker_remaining),
                        (event.taker, event.taker_remaining),
                    ):
                        changed[order] = "PARTIALLY_FILLED" if left else "FILLED"
                        self._orders[order].filled += event.quantity
                        self._orders[order].remaining = left
                    self._record(event)
                case events.Opened():
                    changed[event.order] = "OPEN"
                case events.Cancelled():
                    changed[event.order] = f"CANCELLED {event.reason}"
        for order, status in changed.items():
            self._follow(order, *status.split(" "))

    def _record(self, event: events.Traded) -> None:
        units = event.quantity / LOTS
        self.pressure += IMPACT * (units if event.taker_side is Side.BUY else -units)
        buyer, seller = event.maker, event.taker
        if event.taker_side is Side.BUY:
            buyer, seller = seller, buyer
        self.trades.append(
            seen.Trade(
                f"t{event.number}",
                self.now,
                _decimal(event.price),
                _units(event.quantity),
                self._orders[buyer].user,
                self._orders[seller].user,
                buyer,
                seller,
                event.taker_side is Side.SELL,
            )
        )

    def _follow(self, name: str, status: str, reason: str = "") -> None:
        order = self._orders[name]
        update = displayed.OrderUpdate(
            name,
            order.user,
            seen.Side(order.side.name),
            _decimal(order.price),
            _units(order.quantity),
            _units(order.filled),
            _units(order.remaining),
            status,
            reason,
            self.now,
        )
        current = None if order.shown is None else self.shown[order.shown]
        stored = displayed.follow(current, _units(order.filled_before), update, order.placed)
        if not stored:
            return
        (standing,) = stored  # no order is amended here
        if order.shown is None:
            order.shown, order.filled_before = len(self.shown), order.filled
            self.shown.append(standing)
        else:
            self.shown[order.shown] = standing


@lru_cache(100_000)
def _units(lots: int) -> Decimal:
    return Decimal(lots) / LOTS


@lru_cache(100_000)
def _decimal(value: int) -> Decimal:
    return Decimal(value)
