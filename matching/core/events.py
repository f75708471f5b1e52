"""What the matching core answers: frozen values, in the order in which things happened.

One command gives a list of events. Each carries what a settlement needs, so that nothing has to be
read back from the book.
"""

from __future__ import annotations

import msgspec

from matching.core.types import InstrumentId, MarketStatus, OrderId, Reason, Side


class Opened(msgspec.Struct, frozen=True, gc=False):
    """The order rests in the book with `remaining` lots; `priority` orders it within its price."""

    order: OrderId
    remaining: int
    priority: int


class Armed(msgspec.Struct, frozen=True, gc=False):
    """A stop was accepted and waits for its trigger."""

    order: OrderId
    priority: int


class Triggered(msgspec.Struct, frozen=True, gc=False):
    """A stop enters the market; what follows is what it did there."""

    order: OrderId
    price: int


class Traded(msgspec.Struct, frozen=True, gc=False):
    """One fill at the maker's price. `number` is contiguous per instrument."""

    instrument: InstrumentId
    number: int
    price: int
    quantity: int
    maker: OrderId
    taker: OrderId
    taker_side: Side
    maker_remaining: int
    taker_remaining: int


class Decremented(msgspec.Struct, frozen=True, gc=False):
    """Self-trade prevention took `quantity` lots off without a trade; `remaining` is left."""

    order: OrderId
    quantity: int
    remaining: int


class Cancelled(msgspec.Struct, frozen=True, gc=False):
    """`remaining` lots were taken away; the order is closed."""

    order: OrderId
    remaining: int
    reason: Reason


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A `Place` that changed nothing."""

    order: OrderId
    reason: Reason


class Amended(msgspec.Struct, frozen=True, gc=False):
    """New price and total quantity; trades and an `Opened` follow if it lost its place."""

    order: OrderId
    price: int
    quantity: int
    remaining: int
    kept_place: bool


class Refused(msgspec.Struct, frozen=True, gc=False):
    """A command on an order that changed nothing; `command` is its id."""

    command: str
    order: OrderId
    reason: Reason


class StatusChanged(msgspec.Struct, frozen=True, gc=False):
    instrument: InstrumentId
    status: MarketStatus


Event = (
    Opened
    | Armed
    | Triggered
    | Traded
    | Decremented
    | Cancelled
    | Rejected
    | Amended
    | Refused
    | StatusChanged
)
