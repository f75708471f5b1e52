"""The statuses of an order and the one table of moves between them."""

from __future__ import annotations

from django.db import models


class Status(models.TextChoices):
    PENDING = "PENDING"
    PENDING_TRIGGER = "PENDING_TRIGGER"
    TRIGGERED = "TRIGGERED"
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


_LIVE = {Status.OPEN, Status.PARTIALLY_FILLED, Status.FILLED, Status.CANCELLED}

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset(_LIVE | {Status.REJECTED, Status.PENDING_TRIGGER}),
    Status.PENDING_TRIGGER: frozenset({Status.TRIGGERED, Status.CANCELLED}),
    Status.TRIGGERED: frozenset(_LIVE),
    Status.OPEN: frozenset({Status.PARTIALLY_FILLED, Status.FILLED, Status.CANCELLED}),
    Status.PARTIALLY_FILLED: frozenset({Status.FILLED, Status.CANCELLED}),
    Status.FILLED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.REJECTED: frozenset(),
}

CLOSED = frozenset(status for status, following in TRANSITIONS.items() if not following)
RESTING = frozenset({Status.OPEN, Status.PARTIALLY_FILLED})


def may_become(before: Status, after: Status) -> bool:
    """True if an order may go from `before` to `after` (staying is always allowed)."""
    return before == after or after in TRANSITIONS[before]
