"""Short words for orders and trades of surveillance's tests: seconds for times, texts for amounts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from risk.detectors.records import SECOND, DisplayedOrder, Side, Trade

_numbers = itertools.count(1)


def trade(
    at: float,
    seller: str,
    buyer: str,
    quantity: str = "10",
    price: str = "100",
    *,
    taker: Side = Side.BUY,
    orders: tuple[str, str] | None = None,
) -> Trade:
    """`orders` are the seller's and the buyer's; else everyone has a new one."""
    number = next(_numbers)
    sold, bought = orders or (f"s{number}", f"b{number}")
    return Trade(
        f"t{number}",
        round(at * SECOND),
        Decimal(price),
        Decimal(quantity),
        buyer,
        seller,
        bought,
        sold,
        taker is Side.SELL,
    )


def shown(
    user: str,
    side: Side,
    price: str,
    quantity: str,
    opened: float,
    closed: float | None,
    *,
    filled: str = "0",
    by_owner: bool = True,
    order: str = "",
) -> DisplayedOrder:
    """What was not filled was withdrawn by the owner when it ended, unless it was not `by_owner`."""
    rest = Decimal(quantity) - Decimal(filled)
    return DisplayedOrder(
        order or f"o{next(_numbers)}",
        user,
        side,
        Decimal(price),
        Decimal(quantity),
        Decimal(filled),
        rest if by_owner and closed is not None else Decimal(0),
        round(opened * SECOND),
        None if closed is None else round(closed * SECOND),
    )


def among(trades: Sequence[Trade]) -> Callable[[Iterable[str]], list[Trade]]:
    def read(users: Iterable[str]) -> list[Trade]:
        wanted = set(users)
        return [one for one in trades if one.buyer in wanted and one.seller in wanted]

    return read
