"""What may be asked of the matching core: frozen values, in ticks and lots.

Prices count ticks, quantities count lots, both whole numbers. Ids are opaque strings that the caller
chose; time and randomness never enter. `id` names the command: for `Place` it is the order's own id.
"""

from __future__ import annotations

import msgspec

from matching.core.types import (
    InstrumentId,
    MarketStatus,
    OrderId,
    OrderType,
    Reason,
    SelfTradePrevention,
    Side,
    TimeInForce,
    UserId,
)


class Command(msgspec.Struct, frozen=True, array_like=True, tag=True, tag_field="command", gc=False):
    id: str
    instrument: InstrumentId


class Place(Command, frozen=True, array_like=True, tag=True, gc=False):
    """A new order.

    `price` is the worst price the order may trade at: the limit of a LIMIT or STOP_LIMIT, the
    protection price of a MARKET or STOP (what its hold covers). `stop_price` is 0 but for stops,
    which are armed and wait for a `Trigger`. `collar_ppm` is how far from the best price a MARKET may trade,
    in parts per million.
    """

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


class Cancel(Command, frozen=True, array_like=True, tag=True, gc=False):
    """Take `order` out of the book (or disarm the stop); `reason` says on whose word."""

    order: OrderId
    reason: Reason = Reason.USER_CANCELLED


class CancelAll(Command, frozen=True, array_like=True, tag=True, gc=False):
    """Take everything that `user` has in this instrument out, oldest first."""

    user: UserId
    reason: Reason = Reason.USER_CANCELLED


class Amend(Command, frozen=True, array_like=True, tag=True, gc=False):
    """Give `order` a new price and a new total quantity (what has been filled included)."""

    order: OrderId
    price: int
    quantity: int


class Trigger(Command, frozen=True, array_like=True, tag=True, gc=False):
    """Let an armed stop into the market, at `price` (in ticks), which triggered it; `collar_ppm` as for Place."""

    order: OrderId
    price: int
    collar_ppm: int = 0


class Halt(Command, frozen=True, array_like=True, tag=True, gc=False):
    """Restrict the market: POST_ONLY, CANCEL_ONLY or HALTED."""

    status: MarketStatus


class Resume(Command, frozen=True, array_like=True, tag=True, gc=False):
    """Back to TRADING."""


class Release(Command, frozen=True, array_like=True, tag=True, gc=False):
    """The book leaves for `group`, as it stands. The last command about it here."""

    group: str


class Adopt(Command, frozen=True, array_like=True, tag=True, gc=False):
    """The book has come from `group`, as it stood there: the next place in it follows `place`."""

    group: str
    place: int


AnyCommand = Place | Cancel | CancelAll | Amend | Trigger | Halt | Resume | Release | Adopt
