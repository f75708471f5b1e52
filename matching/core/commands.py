"""What may be asked of the matching core: frozen values, in ticks and lots.

Prices count ticks, quantities count lots, both whole numbers. Ids are opaque strings that the caller
chose; time and randomness never enter. `id` names the command: for `Place` it is the order's own id.
"""

from __future__ import annotations

import msgspec

from matching.core.order_terms import OrderTerms
from matching.core.types import InstrumentId, MarketStatus, OrderId, Reason, UserId


class Command(msgspec.Struct, frozen=True, array_like=True, tag=True, tag_field="command", gc=False):
    id: str
    instrument: InstrumentId


class Place(OrderTerms, frozen=True, array_like=True, tag=True, tag_field="command", gc=False):
    """A new order: nothing but its terms."""


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
    """The book has come from `group`, as it stood there: the next priority in it follows `priority`."""

    group: str
    priority: int


AnyCommand = Place | Cancel | CancelAll | Amend | Trigger | Halt | Resume | Release | Adopt
