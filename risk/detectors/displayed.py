"""From the news of an order to what the book showed: one `Shown` for each price the order stood at.

Pure. News of one order come in the order in which things happened (the topic's key is its user); what was handled
already is filtered before. An order that never rested (filled at once, rejected, a market order, an armed stop) was
never shown and leaves nothing.

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
    current: DisplayedOrder | None, filled_before: Decimal, news: OrderUpdate, placed: int
) -> list[DisplayedOrder]:
    """What has to be stored: the leg that stands or ended, then the one that began. `current` is the order's
    last leg, `filled_before` what had been filled when it began, `placed` when the order was."""
    if current is not None and current.closed is not None:
        return []
    if current is None:
        return [_leg(news, placed)] if news.status in RESTING and news.price is not None else []
    assert news.price is not None
    filled = news.filled - filled_before
    if news.status in CLOSED:
        taken = news.remaining if news.reason == BY_ITS_OWNER else Decimal(0)
        return [msgspec.structs.replace(current, filled=filled, withdrawn=taken, closed=news.at)]
    if news.status not in RESTING:
        return []
    left = current.quantity - filled
    if news.price == current.price and news.remaining >= left:
        more = news.remaining - left
        return [msgspec.structs.replace(current, filled=filled, quantity=current.quantity + more)]
    # Amended to another price, all of it is gone from the old one; to less, the difference is.
    taken = left if news.price != current.price else left - news.remaining
    ended = msgspec.structs.replace(current, filled=filled, withdrawn=taken, closed=news.at)
    return [ended, _leg(news, news.at)]


def _leg(news: OrderUpdate, opened: int) -> DisplayedOrder:
    assert news.price is not None
    return DisplayedOrder(
        news.order, news.user, news.side, news.price, news.remaining, Decimal(0), Decimal(0), opened, None
    )
