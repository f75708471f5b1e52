"""Seeded random commands that keep a market busy: the input of the simulations.

The generator looks at nothing but its own past commands, never at a book, so the same seed gives the
same commands whatever is tested with them. Prices wander around a mid and few users trade, so that
orders match, meet their own, and fill partly all the time; many commands name orders that are long
gone, at prices that no longer make sense, or in a market that is halted. That is on purpose.

Weights are in the tables below: change them there, and see `test_oracle.py` for what must occur.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import msgspec

from matching.core.commands import Amend, AnyCommand, Cancel, CancelAll, Halt, Place, Resume, Trigger
from matching.core.types import (
    InstrumentId,
    MarketStatus,
    OrderType,
    Reason,
    SelfTradePrevention,
    Side,
    TimeInForce,
)

Kind = TypeVar("Kind")

USERS = [f"user-{n}" for n in range(5)]
FIRST_MID = {1: 10_000, 2: 60}  # a fine grid, and one so coarse that rounding of the collar shows
COLLARS = {1: (450, 2_000), 2: (45_000, 80_000)}  # parts per million: an operator may change it at any time

COMMANDS = {
    "place": 600,
    "cancel": 110,
    "amend": 160,
    "trigger": 60,
    "cancel_all": 6,
    "halt": 2,
    "resume": 12,
}
TYPES = {OrderType.LIMIT: 70, OrderType.MARKET: 14, OrderType.STOP: 8, OrderType.STOP_LIMIT: 11}
TIMES_IN_FORCE = {TimeInForce.GTC: 76, TimeInForce.IOC: 12, TimeInForce.FOK: 12}
STATUSES = {MarketStatus.POST_ONLY: 3, MarketStatus.CANCEL_ONLY: 1, MarketStatus.HALTED: 1}
AT_MARKET = (OrderType.MARKET, OrderType.STOP)
STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)
PREVENTIONS = [*SelfTradePrevention, SelfTradePrevention.CANCEL_NEWEST]  # the default, twice as often
POST_ONLY_SHARE = 0.12
REMEMBERED = 100  # how many past orders of an instrument later commands choose from …
TYPICAL_AGE = 20  # … and how far back they usually reach


def may_stay(place: Place) -> bool:
    """Whether a later command may find the order in the book."""
    limit = place.type is OrderType.LIMIT and place.time_in_force is TimeInForce.GTC
    return limit or place.stop_price > 0


class Generator:
    """An endless stream of commands; ids are "SEED-1", "SEED-2", … in order of sending."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._seed = seed
        self._sent = 0
        self._mid = dict(FIRST_MID)
        self._placed: dict[InstrumentId, deque[Place]] = {i: deque(maxlen=REMEMBERED) for i in FIRST_MID}
        self._stops: dict[InstrumentId, deque[Place]] = {i: deque(maxlen=REMEMBERED // 5) for i in FIRST_MID}
        self._makers: dict[str, Callable[[str, InstrumentId], AnyCommand]] = {
            "place": self._place,
            "cancel": self._cancel,
            "amend": self._amend,
            "trigger": self._trigger,
            "cancel_all": self._cancel_all,
            "halt": self._halt,
            "resume": self._resume,
        }

    def __iter__(self) -> Iterator[AnyCommand]:
        while True:
            yield self.next()

    def next(self) -> AnyCommand:
        self._sent += 1
        instrument = self._random.choice((1, 1, 2))
        self._wander(instrument)
        kind = self._weighted(COMMANDS)
        return self._makers[kind](f"{self._seed}-{self._sent}", instrument)

    def _wander(self, instrument: InstrumentId) -> None:
        if self._random.random() < 0.05:
            step = self._random.choice((-1, 1))
            self._mid[instrument] = max(FIRST_MID[instrument] // 2, self._mid[instrument] + step)

    def _weighted(self, weights: Mapping[Kind, float]) -> Kind:
        return self._random.choices(list(weights), list(weights.values()))[0]

    # -- one function a kind of command

    def _place(self, command: str, instrument: InstrumentId) -> Place:
        rnd = self._random
        side = rnd.choice((Side.BUY, Side.SELL))
        type_ = self._weighted(TYPES)
        price = self._price(instrument, side, type_)
        if side is Side.SELL and type_ in AT_MARKET and rnd.random() < 0.2:
            price = 0  # no protection
        place = Place(
            command,
            instrument,
            rnd.choice(USERS),
            side,
            type_,
            self._weighted(TIMES_IN_FORCE),
            price,
            self._quantity(),
            stop_price=self._mid[instrument] if type_ in STOPS else 0,
            post_only=rnd.random() < POST_ONLY_SHARE,
            prevention=rnd.choice(PREVENTIONS),
            collar_ppm=rnd.choice(COLLARS[instrument]),
        )
        if may_stay(place) or rnd.random() < 0.1:
            self._placed[instrument].append(place)
        if place.stop_price:
            self._stops[instrument].append(place)
        return place

    def _cancel(self, command: str, instrument: InstrumentId) -> Cancel:
        return Cancel(command, instrument, self._past(instrument).id, self._reason())

    def _amend(self, command: str, instrument: InstrumentId) -> Amend:
        """Half keep the price, so that the quantity alone decides about the place; half of the rest cross."""
        rnd = self._random
        placed = self._placed[instrument]
        order = self._past(instrument)
        price, quantity = order.price, max(1, order.quantity + rnd.randint(-6, 4))
        if rnd.random() < 0.5:
            price = self._price(instrument, rnd.choice(list(Side)), order.type)
        if order in placed:
            placed[placed.index(order)] = msgspec.structs.replace(order, price=price, quantity=quantity)
        return Amend(command, instrument, order.id, price, quantity)

    def _trigger(self, command: str, instrument: InstrumentId) -> Trigger:
        stops = self._stops[instrument]
        order = self._random.choice(stops) if stops else self._past(instrument)
        return Trigger(
            command, instrument, order.id, self._mid[instrument], self._random.choice(COLLARS[instrument])
        )

    def _cancel_all(self, command: str, instrument: InstrumentId) -> CancelAll:
        return CancelAll(command, instrument, self._random.choice([*USERS, "nobody"]), self._reason())

    def _halt(self, command: str, instrument: InstrumentId) -> Halt:
        return Halt(command, instrument, self._weighted(STATUSES))

    def _resume(self, command: str, instrument: InstrumentId) -> Resume:
        return Resume(command, instrument)

    # -- what they are made of

    def _reason(self) -> Reason:
        return Reason.OPERATOR_CANCELLED if self._random.random() < 0.1 else Reason.USER_CANCELLED

    def _past(self, instrument: InstrumentId) -> Place:
        """An order placed lately, the later the likelier; before the first, one that never was."""
        placed = self._placed[instrument]
        if placed:
            back = int(self._random.expovariate(1 / TYPICAL_AGE))
            return placed[-1 - min(back, len(placed) - 1)]
        user, limit, gtc = USERS[0], OrderType.LIMIT, TimeInForce.GTC
        return Place("never", instrument, user, Side.BUY, limit, gtc, self._mid[instrument], 1)

    def _price(self, instrument: InstrumentId, side: Side, type_: OrderType) -> int:
        """Around the mid: two thirds on the order's own side of it; a market order's far beyond it."""
        rnd = self._random
        away = round(rnd.expovariate(0.2))
        if type_ in AT_MARKET:
            away = -3 * away
        elif rnd.random() < 0.33:
            away = -away
        return max(1, self._mid[instrument] + (-away if side is Side.BUY else away))

    def _quantity(self) -> int:
        rnd = self._random
        return rnd.randint(1, 12) if rnd.random() < 0.95 else rnd.randint(20, 120)
