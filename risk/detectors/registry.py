"""All detectors over one market: pure, and the one place that knows which there are."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from decimal import Context, localcontext

from risk.detectors import momentum_ignition, spoofing, wash_rings, wash_trades
from risk.detectors.records import SECOND, AbuseKind, Among, DisplayedOrder, Finding, Flows, Owners, Trade
from risk.detectors.thresholds import DeceptiveDepth, MomentumIgnition, Rules, WashRing, WashTrade

EXACT = Context(prec=80)  # sums of amounts with 18 digits on both sides of the point


def in_flows(
    symbol: str, flows: Flows, among: Among, owners: Owners, rules: Rules, *, length: int
) -> list[Finding]:
    """What the sums of one window of `length` microseconds show: wash trades and rings. `among` reads the trades
    of whoever has become suspicious."""
    found: list[Finding] = []
    with localcontext(EXACT):
        match rules.thresholds.get(AbuseKind.WASH_TRADE):
            case WashTrade() as washing if length <= washing.window * SECOND:
                found += wash_trades.find(symbol, flows, among, owners, washing)
        match rules.thresholds.get(AbuseKind.WASH_RING):
            case WashRing() as circling if length <= circling.longest_window * SECOND:
                found += wash_rings.find(symbol, flows, among, owners, circling)
    return found


def in_orders(
    symbol: str,
    trades: Sequence[Trade],
    orders: Sequence[DisplayedOrder],
    owners: Owners,
    rules: Rules,
    *,
    until: int,
) -> list[Finding]:
    """What single orders and trades show, both by time: spoofing, layering, momentum ignition. Each kind looks back
    from `until` as far as its window goes."""
    found: list[Finding] = []
    with localcontext(EXACT):
        baits = {
            kind: limits for kind, limits in rules.thresholds.items() if isinstance(limits, DeceptiveDepth)
        }
        if baits:
            since = until - max(limits.window for limits in baits.values()) * SECOND
            legs = [leg for leg in orders if leg.closed is None or leg.closed >= since]
            found += spoofing.find(symbol, _from(trades, since), legs, owners, baits)
        match rules.thresholds.get(AbuseKind.MOMENTUM_IGNITION):
            case MomentumIgnition() as limits:
                recent = _from(trades, until - limits.window * SECOND)
                found += momentum_ignition.find(symbol, recent, owners, limits)
    return found


def reach(rules: Rules) -> int:
    """Seconds that `in_orders` looks back."""
    return max(
        (
            each.window
            for each in rules.thresholds.values()
            if isinstance(each, DeceptiveDepth | MomentumIgnition)
        ),
        default=0,
    )


def _from(trades: Sequence[Trade], since: int) -> Sequence[Trade]:
    return trades[bisect_left(trades, since, key=lambda trade: trade.at) :]
