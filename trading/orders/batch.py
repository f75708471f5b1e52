"""What an intake batch is made of beside new orders, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass, field

from exchange.base.origin import Origin, current
from matching.codec import Envelope
from trading.orders.candidates import OrderCandidate


@dataclass(slots=True)
class OrderChange:
    """A command on what exists already.

    An amendment names the account and what it holds there beyond its order's hold, and the order's worst price (ticks)
    and quantity (lots) that this was reckoned from: if they are others by now, it is refused.
    """

    group: str
    envelope: Envelope
    order_id: str | None = None
    hold_account: int | None = None
    hold: int = 0
    hold_scale: int = 0
    reckoned_from: tuple[int, int] | None = None
    refused: str = ""
    origin: Origin = field(default_factory=current)


@dataclass(slots=True)
class AcceptedBatch:
    """What a batch came to; a candidate is in exactly one of the three lists."""

    created_at: str
    pending: list[OrderCandidate] = field(default_factory=list)
    rejected: list[OrderCandidate] = field(default_factory=list)
    known: list[OrderCandidate] = field(default_factory=list)
