"""What the detectors see and say: plain values, of one market at a time.

Times are whole microseconds since the epoch, amounts exact decimals, ids opaque texts. An owner is who
benefits: a user, or what an operator declared several users to be (`risk.models.OwnerLink`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from typing import Any, NewType

import msgspec

SECOND = 1_000_000
DAY = 86_400 * SECOND

AbuseKind = NewType(
    "AbuseKind", str
)  # the name that is stored; each detector has its own, at most 20 characters


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class Trade(msgspec.Struct, frozen=True, gc=False):
    id: str
    at: int
    price: Decimal
    quantity: Decimal
    buyer: str
    seller: str
    buyer_order: str
    seller_order: str
    buyer_is_maker: bool

    @property
    def aggressor(self) -> Side:
        return Side.SELL if self.buyer_is_maker else Side.BUY


class DisplayedOrder(msgspec.Struct, frozen=True, gc=False):
    """An order as the book showed it, at one price: an amendment ends one and begins another.

    Of `quantity`, `filled` was traded and `withdrawn` taken away by the owner when it ended; `closed` is None
    while it rests.
    """

    order: str
    user: str
    side: Side
    price: Decimal
    quantity: Decimal
    filled: Decimal
    withdrawn: Decimal
    opened: int
    closed: int | None


class Flow(msgspec.Struct, frozen=True, gc=False):
    """All that one seller sold to one buyer in some window."""

    trades: int
    quantity: Decimal


Flows = Mapping[tuple[str, str], Flow]  # (seller, buyer); users or owners
Owners = Mapping[str, str]  # by user; one who is not in it is their own owner
Among = Callable[[Iterable[str]], Sequence[Trade]]  # the window's trades between these users, by time


class Finding(msgspec.Struct, frozen=True):
    """`score` says how clear it is, from 0 to 1; `detail` is for people: counts, and amounts as texts."""

    kind: AbuseKind
    symbol: str
    users: tuple[str, ...]
    since: int
    until: int
    score: float
    detail: dict[str, Any]
    trades: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """Who does what where."""
        people = blake2b(" ".join(sorted(self.users)).encode(), digest_size=10).hexdigest()
        return f"{self.kind}:{self.symbol}:{people}"

    @property
    def dedup(self) -> str:
        """The same for the same conduct: its subject and the day that it began."""
        return f"{self.subject}:{self.since // DAY}"


def flows(trades: Iterable[Trade]) -> dict[tuple[str, str], Flow]:
    """Trades added up by seller and buyer."""
    counts: dict[tuple[str, str], tuple[int, Decimal]] = {}
    for trade in trades:
        count, quantity = counts.get((trade.seller, trade.buyer), (0, Decimal(0)))
        counts[trade.seller, trade.buyer] = count + 1, quantity + trade.quantity
    return {pair: Flow(count, quantity) for pair, (count, quantity) in counts.items()}


def users_of(owners: Iterable[str], known: Owners) -> list[str]:
    """All users behind these owners, those who are their own owner included."""
    wanted = set(owners)
    return sorted(wanted | {user for user, owner in known.items() if owner in wanted})
