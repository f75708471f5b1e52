"""Wash trades: an owner trades with themselves, directly or through accounts of one owner.

Source: wash trades as in the Commodity Exchange Act, section 4c(a)(1)-(2), and among the indicators of
Regulation (EU) 596/2014 (MAR), Annex I A(c): transactions that change no beneficial ownership. The matching
core lets no account trade with itself, so what is found here went through several.

Two accounts of a household may meet by chance now and then: so it takes a number of trades and a share of what
these accounts trade at all.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from exchange.base.decimals import plain
from risk.detectors.detector import FlowDetector, Thresholds
from risk.detectors.records import AbuseKind, Among, Finding, Flows, Owners, users_of

WASH_TRADE = AbuseKind("WASH_TRADE")


class WashTrade(Thresholds, frozen=True):
    window: Annotated[int, Meta(ge=60, le=604_800, description="seconds looked at together")] = 86_400
    least_trades: Annotated[int, Meta(ge=1, le=1000, description="trades of an owner with themselves")] = 3
    least_share: Annotated[
        float, Meta(gt=0, le=1, description="of all that the accounts concerned traded")
    ] = 0.1


def find(symbol: str, flows: Flows, among: Among, owners: Owners, limits: WashTrade) -> list[Finding]:
    """One finding an owner, over the whole window."""
    inside: dict[str, Decimal] = defaultdict(Decimal)
    counts: dict[str, int] = defaultdict(int)
    total: dict[str, Decimal] = defaultdict(Decimal)
    for (seller, buyer), flow in flows.items():
        sold_by, bought_by = owners.get(seller, seller), owners.get(buyer, buyer)
        total[sold_by] += flow.quantity
        total[bought_by] += flow.quantity
        if sold_by == bought_by:
            inside[sold_by] += flow.quantity
            counts[sold_by] += flow.trades
    found = []
    for owner in sorted(inside):
        share = 2 * inside[owner] / total[owner]  # a trade with oneself is in the total twice
        if counts[owner] < limits.least_trades or share < Decimal(str(limits.least_share)):
            continue
        trades = among(users_of([owner], owners))
        users = sorted({user for trade in trades for user in (trade.buyer, trade.seller)})
        found.append(
            Finding(
                kind=WASH_TRADE,
                symbol=symbol,
                users=tuple(users),
                since=trades[0].at,
                until=trades[-1].at,
                score=round(float(share), 4),
                detail={
                    "owner": owner,
                    "trades": len(trades),
                    "quantity": plain(sum((trade.quantity for trade in trades), Decimal(0))),
                    "share_of_own_volume": f"{share:.4f}",
                },
                trades=tuple(trade.id for trade in trades),
                orders=tuple(
                    sorted({o for trade in trades for o in (trade.buyer_order, trade.seller_order)})
                ),
            )
        )
    return found


DETECTOR = FlowDetector(WASH_TRADE, WashTrade, severity=3, find=find)
