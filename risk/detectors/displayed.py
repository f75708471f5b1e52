"""From the updates of an order to what the book showed: one `DisplayedOrder` for each price the order stood at.

Pure. Updates of one order come in the order in which things happened (the topic's key is its user); what was handled
already is filtered before. An order that never rested (filled at once, rejected, a market order, an armed stop) was
never shown and leaves nothing. Why orders are kept like that: docs/decisions/024.

Known limitation. Lots that self-trade prevention took off an order that goes on look like an amendment to less.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from matching.order_status import CLOSED, RESTING
from risk.detectors.records import DisplayedOrder, Side

BY_ITS_OWNER = "USER_CANCELLED"


class OrderUpdate(msgspec.Struct, frozen=True):
    """An order after a change."""

    order: str
    user: str
    side: Side
    price: Decimal | None
    quantity: Decimal
    filled: Decimal
    remaining: Decimal
    status: str
    reason: str
    at: int


def follow(
    current: DisplayedOrder | None, filled_before: Decimal, update: OrderUpdate, placed: int
) -> list[DisplayedOrder]:
    """What has to be stored: the displayed order that stands or ended, then the one that began. `current` is the
    last of the order, `filled_before` what had been filled when it began, `placed` when the order was."""
    if current is not None and current.closed is not None:
        return []
    if current is None:
        return [_displayed(update, placed)] if update.status in RESTING and update.price is not None else []
    assert update.price is not None
    filled = update.filled - filled_before
    if update.status in CLOSED:
        taken = update.remaining if update.reason == BY_ITS_OWNER else Decimal(0)
        return [msgspec.structs.replace(current, filled=filled, withdrawn=taken, closed=update.at)]
    if update.status not in RESTING:
        return []
    left = current.quantity - filled
    if update.price == current.price and update.remaining >= left:
        more = update.remaining - left
        return [msgspec.structs.replace(current, filled=filled, quantity=current.quantity + more)]
    # Amended to another price, all of it is gone from the old one; to less, the difference is.
    taken = left if update.price != current.price else left - update.remaining
    ended = msgspec.structs.replace(current, filled=filled, withdrawn=taken, closed=update.at)
    return [ended, _displayed(update, update.at)]


def _displayed(update: OrderUpdate, opened: int) -> DisplayedOrder:
    assert update.price is not None
    return DisplayedOrder(
        update.order,
        update.user,
        update.side,
        update.price,
        update.remaining,
        Decimal(0),
        Decimal(0),
        opened,
        None,
    )
