"""What an order asks for: its terms, and what each type of order has and may.

Pure: no I/O, no clock, no randomness. A new term is a field at the end of `OrderTerms`, with a default: commands
travel and are kept as arrays, so every order that was placed before has the default. What the matching does with
it is in `match.py`; where it is stored, read from a request and shown is not the core's.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from matching.core.types import (
    InstrumentId,
    OrderId,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
    UserId,
)


class OrderTerms(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An order's terms; prices in ticks, quantities in lots.

    `price` is the worst price the order may trade at: the limit of a LIMIT or STOP_LIMIT, the
    protection price of a MARKET or STOP (what its hold covers). `quantity` is the total asked for.
    `stop_price` is 0 but for stops, which are armed and wait for a `Trigger`. `collar_ppm` is how far from
    the best price a MARKET may trade, in parts per million.
    """

    id: OrderId
    instrument: InstrumentId
    user: UserId
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    price: int
    quantity: int
    stop_price: int = 0
    post_only: bool = False
    prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST
    collar_ppm: int = 0


class TypeRule(NamedTuple):
    """What orders of a type have, and may.

    `needs_price`: they name a limit, which others must leave out. `needs_stop_price`: they wait for a trigger at
    the price they name. `at_market`: they trade at the market's price, `price` protects them, and nothing of
    them ever rests. `times_in_force` has the default first. `may_be_post_only`: with GTC.
    """

    needs_price: bool
    needs_stop_price: bool
    at_market: bool
    times_in_force: tuple[TimeInForce, ...]
    may_be_post_only: bool


_ANY_TIME = (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK)
_AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)

TYPE_RULES = {
    OrderType.MARKET: TypeRule(
        needs_price=False,
        needs_stop_price=False,
        at_market=True,
        times_in_force=_AT_ONCE,
        may_be_post_only=False,
    ),
    OrderType.LIMIT: TypeRule(
        needs_price=True,
        needs_stop_price=False,
        at_market=False,
        times_in_force=_ANY_TIME,
        may_be_post_only=True,
    ),
    OrderType.STOP: TypeRule(
        needs_price=False,
        needs_stop_price=True,
        at_market=True,
        times_in_force=_AT_ONCE,
        may_be_post_only=False,
    ),
    OrderType.STOP_LIMIT: TypeRule(
        needs_price=True,
        needs_stop_price=True,
        at_market=False,
        times_in_force=_ANY_TIME,
        may_be_post_only=False,
    ),
}

# As tuples: a member of an enumeration is found in one by identity, in a set by a hash that is made in Python.
AT_MARKET = tuple(kind for kind, rule in TYPE_RULES.items() if rule.at_market)
LIMITED = tuple(kind for kind, rule in TYPE_RULES.items() if rule.needs_price)
STOPS = tuple(kind for kind, rule in TYPE_RULES.items() if rule.needs_stop_price)


def price_is_valid(side: Side, type_: OrderType, price: int) -> bool:
    """A price is positive; only a sale at the market may go without protection, which is 0."""
    return price > 0 or (price == 0 and side is Side.SELL and type_ in AT_MARKET)
