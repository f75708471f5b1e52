"""The statuses of an order and the one table of moves between them."""

from __future__ import annotations

from enum import StrEnum


class OrderStatus(StrEnum):
    PENDING = "PENDING"
    PENDING_TRIGGER = "PENDING_TRIGGER"
    TRIGGERED = "TRIGGERED"
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


_LIVE = {OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED, OrderStatus.CANCELLED}

TRANSITIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.PENDING: frozenset(_LIVE | {OrderStatus.REJECTED, OrderStatus.PENDING_TRIGGER}),
    OrderStatus.PENDING_TRIGGER: frozenset({OrderStatus.TRIGGERED, OrderStatus.CANCELLED}),
    OrderStatus.TRIGGERED: frozenset(_LIVE),
    OrderStatus.OPEN: frozenset({OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED, OrderStatus.CANCELLED}),
    OrderStatus.PARTIALLY_FILLED: frozenset({OrderStatus.FILLED, OrderStatus.CANCELLED}),
    OrderStatus.FILLED: frozenset(),
    OrderStatus.CANCELLED: frozenset(),
    OrderStatus.REJECTED: frozenset(),
}

CLOSED = frozenset(status for status, following in TRANSITIONS.items() if not following)
RESTING = frozenset({OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED})


def may_become(before: OrderStatus, after: OrderStatus) -> bool:
    """True if an order may go from `before` to `after` (staying is always allowed)."""
    return before == after or after in TRANSITIONS[before]
