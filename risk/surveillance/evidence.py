"""What a finding rests on, in the form in which a case keeps it: rows by name, and a picture.

People are named by id alone. The detector says how its findings are drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from exchange.base.decimals import plain
from exchange.base.times import rfc3339
from risk.detectors import registry
from risk.detectors.detector import Picture
from risk.detectors.records import SECOND, DisplayedOrder, Finding, Owners, Trade, flows
from risk.surveillance import charts


def of(
    finding: Finding, trades: Sequence[Trade], orders: Sequence[DisplayedOrder], owners: Owners
) -> dict[str, Any]:
    """`trades` and `orders` may be more than the finding names; orders that are not among them are named only."""
    named, placed = set(finding.trades), set(finding.orders)
    mine = [trade for trade in trades if trade.id in named]
    displayed = [order for order in orders if order.order in placed]
    known = {order.order for order in displayed}
    if registry.detector(finding.kind).picture is Picture.GRAPH:
        drawn = charts.graph({pair: (flow.trades, flow.quantity) for pair, flow in flows(mine).items()})
    else:
        drawn = charts.course(mine, displayed, set(finding.users))
    return {
        "users": _users(finding, mine, owners),
        "trades": [
            {
                "id": trade.id,
                "at": moment(trade.at),
                "price": plain(trade.price),
                "quantity": plain(trade.quantity),
                "buyer": trade.buyer,
                "seller": trade.seller,
            }
            for trade in mine
        ],
        "orders": [
            *(_row(order) for order in displayed),
            *({"id": order} for order in finding.orders if order not in known),
        ],
        "picture": drawn,
    }


def moment(at: int) -> str:
    return rfc3339(datetime.fromtimestamp(at / SECOND, tz=UTC))


def _users(finding: Finding, trades: Sequence[Trade], owners: Owners) -> list[dict[str, Any]]:
    bought: dict[str, Decimal] = defaultdict(Decimal)
    sold: dict[str, Decimal] = defaultdict(Decimal)
    for trade in trades:
        bought[trade.buyer] += trade.quantity
        sold[trade.seller] += trade.quantity
    return [
        {"id": user, "owner": owners.get(user, ""), "bought": plain(bought[user]), "sold": plain(sold[user])}
        for user in finding.users
    ]


def _row(order: DisplayedOrder) -> dict[str, Any]:
    return {
        "id": f"{order.order}@{plain(order.price)}",
        "user": order.user,
        "side": order.side,
        "price": plain(order.price),
        "quantity": plain(order.quantity),
        "filled": plain(order.filled),
        "withdrawn": plain(order.withdrawn),
        "opened": moment(order.opened),
        "closed": None if order.closed is None else moment(order.closed),
    }
