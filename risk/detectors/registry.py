"""All detectors over one market: pure, and the one place that knows which there are."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from decimal import Context, localcontext
from typing import Any

import msgspec

from risk.detectors import momentum_ignition, spoofing, wash_rings, wash_trades
from risk.detectors.detector import FlowDetector, OrderDetector, Thresholds
from risk.detectors.records import SECOND, AbuseKind, Among, DisplayedOrder, Finding, Flows, Owners, Trade

EXACT = Context(prec=80)  # sums of amounts with 18 digits on both sides of the point

DETECTORS: tuple[OrderDetector | FlowDetector, ...] = (
    wash_trades.DETECTOR,
    wash_rings.DETECTOR,
    *spoofing.DETECTORS,
    momentum_ignition.DETECTOR,
)
KINDS: dict[str, OrderDetector | FlowDetector] = {detector.kind: detector for detector in DETECTORS}


class Rules(msgspec.Struct, frozen=True):
    """What holds for one institution or more: a kind that is not in it is not looked for."""

    thresholds: dict[AbuseKind, Thresholds]
    severities: dict[AbuseKind, int]


DEFAULT = Rules(
    {detector.kind: detector.thresholds() for detector in DETECTORS},
    {detector.kind: detector.severity for detector in DETECTORS},
)


def detector(kind: str) -> OrderDetector | FlowDetector:
    """Raises ValueError if there is none of that kind."""
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is not a valid AbuseKind")
    return KINDS[kind]


def parse(kind: str, values: dict[str, Any]) -> Thresholds:
    """Raises ValueError, naming what is wrong; what is not given is the default."""
    try:
        return msgspec.convert(values, detector(kind).thresholds)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def in_flows(
    symbol: str, flows: Flows, among: Among, owners: Owners, rules: Rules, *, length: int
) -> list[Finding]:
    """What the sums of one window of `length` microseconds show. `among` reads the trades of those who have become
    suspicious."""
    found: list[Finding] = []
    with localcontext(EXACT):
        for detector in DETECTORS:
            limits = rules.thresholds.get(detector.kind)
            if not isinstance(detector, FlowDetector) or limits is None:
                continue
            if length <= detector.seconds(limits) * SECOND:
                found += detector.find(symbol, flows, among, owners, limits)
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
    """What single orders and trades show, both by time. Each detector looks back from `until` as far as its window
    goes, and those that are found together as far as the longest of theirs."""
    groups: dict[Any, list[OrderDetector]] = {}
    for detector in _of_orders(rules):
        groups.setdefault(detector.find if detector.together else detector.kind, []).append(detector)
    found: list[Finding] = []
    with localcontext(EXACT):
        for group in groups.values():
            limits = {detector.kind: rules.thresholds[detector.kind] for detector in group}
            since = until - max(detector.seconds(limits[detector.kind]) for detector in group) * SECOND
            recent = trades[bisect_left(trades, since, key=lambda trade: trade.at) :]
            displayed = [order for order in orders if order.closed is None or order.closed >= since]
            first = group[0]
            given = limits if first.together else limits[first.kind]
            found += first.find(symbol, recent, displayed, owners, given)
    return found


def longest_look_back(rules: Rules) -> int:
    """Seconds that `in_orders` looks back."""
    return max(
        (detector.seconds(rules.thresholds[detector.kind]) for detector in _of_orders(rules)), default=0
    )


def _of_orders(rules: Rules) -> list[OrderDetector]:
    return [
        detector
        for detector in DETECTORS
        if isinstance(detector, OrderDetector) and detector.kind in rules.thresholds
    ]
