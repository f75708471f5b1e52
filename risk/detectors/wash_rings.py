"""Rings: a group trades in circles, so that each ends where they began.

Source: F. Victor and A. M. Weintraud, "Detecting and Quantifying Wash Trading on Decentralized Cryptocurrency
Exchanges", Proceedings of the Web Conference 2021, section 4. Candidates are the strongly connected
components of the trade graph (an edge from seller to buyer) in windows of an hour, a day and a week. In a window
the trades among a candidate's members are washed if each member's position has changed by no more than a margin;
if not, the last trade is left out and it is tried again.

An order book needs four things more, which are ours (docs/decisions/024). Honest users are one large component there,
so edges are peeled off by rising number of trades and by rising volume, and the components of each step are
candidates. Windows overlap by half, and no more than two rounds are left out. Others step in between and spoil the
balance, while two who meet often are even by chance now and then: so, for two always and for more as the alternative,
it must show in quantities that are handed on in the same size. And a ring keeps a share of its members' trading to
itself, as a scalper and a market maker do not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from exchange.base.decimals import plain
from risk.detectors.detector import FlowDetector, Thresholds
from risk.detectors.records import SECOND, AbuseKind, Among, Finding, Flow, Flows, Owners, Trade, users_of

WASH_RING = AbuseKind("WASH_RING")
LENGTHS = (3600 * SECOND, 86_400 * SECOND, 7 * 86_400 * SECOND)
RECENT = 5  # quantities of each member that wait to be handed on: of many, some are the same by chance
STEP = Decimal("1.3")  # of peeling: each level is so many times the one before, at least


class WashRing(Thresholds, frozen=True):
    longest_window: Annotated[
        int, Meta(ge=3600, le=604_800, description="seconds; of 1 hour, 1 day and 7 days those up to it")
    ] = 604_800
    margin: Annotated[
        float,
        Meta(gt=0, le=0.5, description="how far from even each one's position may end, of their volume"),
    ] = 0.02
    same_size: Annotated[
        float, Meta(ge=0, le=0.2, description="by which two quantities may differ and be taken for the same")
    ] = 0.03
    least_handed_on: Annotated[
        float, Meta(gt=0, le=1, description="of all their quantities, passed on in the same size")
    ] = 0.5
    least_trades: Annotated[
        int, Meta(ge=2, le=1000, description="trades inside the group, for each member")
    ] = 3
    least_share: Annotated[
        float, Meta(gt=0, le=1, description="inside the group, of all that its members traded")
    ] = 0.3
    most_members: Annotated[int, Meta(ge=2, le=50, description="larger groups are no ring")] = 10


def windows(length: int, since: int, until: int) -> list[tuple[int, int]]:
    """The windows [start, end) of that length that reach into [since, until); each begins half a window after
    the one before, at times that do not depend on when it is asked."""
    hop = length // 2
    first = (since - length) // hop + 1
    return [(n * hop, n * hop + length) for n in range(first, (until - 1) // hop + 1)]


def find(symbol: str, flows: Flows, among: Among, owners: Owners, limits: WashRing) -> list[Finding]:
    """The rings of one window; `flows` are all of the window, by user. No two findings share half of their
    members."""
    merged = by_owner(flows, owners)
    traded = _traded(merged)
    found: list[tuple[Decimal, frozenset[str], Finding]] = []
    for members in candidates(merged, limits.most_members):
        if not _keeps_to_itself(merged, traded, members, limits):
            continue
        between = [
            trade
            for trade in among(users_of(members, owners))
            if owners.get(trade.seller, trade.seller) != owners.get(trade.buyer, trade.buyer)
        ]
        washed = evenly(between, owners, limits, len(members)) if len(members) > 2 else ()
        if not washed and _all_hand_on(handed_on(between, owners, limits.same_size), limits):
            washed = between
        quantity = sum((trade.quantity for trade in washed), Decimal(0))
        share = 2 * quantity / sum((traded[member] for member in members), Decimal(0))
        taking_part = {owners.get(user, user) for trade in washed for user in (trade.buyer, trade.seller)}
        if washed and share >= Decimal(str(limits.least_share)) and taking_part == members:
            found.append((quantity, members, _finding(symbol, washed, len(members), share)))
    chosen: list[tuple[frozenset[str], Finding]] = []
    for _, members, finding in sorted(found, key=lambda one: (-one[0], sorted(one[1]))):
        if all(2 * len(members & other) < len(members | other) for other, _ in chosen):
            chosen.append((members, finding))
    return [finding for _, finding in chosen]


def by_owner(flows: Flows, owners: Owners) -> dict[tuple[str, str], Flow]:
    """Flows between owners; what stays with one owner is no edge."""
    merged: dict[tuple[str, str], Flow] = {}
    for (seller, buyer), flow in flows.items():
        pair = owners.get(seller, seller), owners.get(buyer, buyer)
        if pair[0] != pair[1]:
            known = merged.get(pair)
            merged[pair] = Flow(known.trades + flow.trades, known.quantity + flow.quantity) if known else flow
    return merged


def candidates(flows: Flows, most: int) -> list[frozenset[str]]:
    """Groups of 2 to `most` that are strongly connected by edges of at least some weight; smallest first."""
    import networkx  # 10 MB, which a process that only knows the kinds of abuse does without

    found: set[frozenset[str]] = set()
    for weights in (
        {pair: Decimal(flow.trades) for pair, flow in flows.items()},
        {pair: flow.quantity for pair, flow in flows.items()},
    ):
        edges = sorted(weights)
        for level in _levels(set(weights.values())):
            graph = networkx.DiGraph(pair for pair in edges if weights[pair] >= level)
            groups = [group for group in networkx.strongly_connected_components(graph) if len(group) > 1]
            if not groups:
                break
            found.update(frozenset(group) for group in groups if len(group) <= most)
            group_of = {member: n for n, group in enumerate(groups) for member in group}
            edges = [(a, b) for a, b in graph.edges if group_of.get(a, -1) == group_of.get(b, -2)]
    return sorted(found, key=lambda group: (len(group), sorted(group)))


def evenly(trades: Sequence[Trade], owners: Owners, limits: WashRing, size: int) -> Sequence[Trade]:
    """The longest beginning of `trades` after which each one is where they began; empty if there is none that
    leaves out two rounds at most."""
    margin = Decimal(str(limits.margin))
    net: dict[str, Decimal] = defaultdict(Decimal)
    volume: dict[str, Decimal] = defaultdict(Decimal)
    sides = [(owners.get(t.seller, t.seller), owners.get(t.buyer, t.buyer)) for t in trades]
    for trade, (seller, buyer) in zip(trades, sides, strict=True):
        net[seller] -= trade.quantity
        net[buyer] += trade.quantity
        volume[seller] += trade.quantity
        volume[buyer] += trade.quantity
    least = max(size * limits.least_trades, len(trades) - 2 * size)
    for length in range(len(trades), least - 1, -1):
        if all(abs(net[member]) <= margin * volume[member] for member in net):
            return trades[:length]
        quantity, (seller, buyer) = trades[length - 1].quantity, sides[length - 1]
        net[seller] += quantity
        net[buyer] -= quantity
        volume[seller] -= quantity
        volume[buyer] -= quantity
    return ()


def handed_on(trades: Sequence[Trade], owners: Owners, same_size: float) -> dict[str, float]:
    """By member: of all that they bought or sold, the part that they passed on in the same size: sold what they had
    bought, or the other way round. A trade with an outsider in between spoils little of it."""
    tolerance = Decimal(str(same_size))
    waiting: dict[str, tuple[list[Decimal], list[Decimal]]] = defaultdict(lambda: ([], []))
    passed: dict[str, Decimal] = defaultdict(Decimal)
    total: dict[str, Decimal] = defaultdict(Decimal)
    for trade in trades:
        for user, way in ((trade.buyer, 0), (trade.seller, 1)):
            member = owners.get(user, user)
            mine, other = waiting[member][way], waiting[member][1 - way]
            total[member] += trade.quantity
            same = next(
                (one for one in other if abs(one - trade.quantity) <= tolerance * trade.quantity), None
            )
            if same is None:
                mine.append(trade.quantity)
                del mine[:-RECENT]
            else:
                other.remove(same)
                passed[member] += min(same, trade.quantity) * 2
    return {member: float(passed[member] / total[member]) for member in sorted(total)}


def _all_hand_on(shares: Mapping[str, float], limits: WashRing) -> bool:
    """On average enough, and no member less than half of that: a bystander does not belong to a ring."""
    least = limits.least_handed_on
    return bool(shares) and sum(shares.values()) >= least * len(shares) and min(shares.values()) >= least / 2


def _levels(values: Iterable[Decimal]) -> list[Decimal]:
    """Of the values the lowest, and then each that is at least STEP times the one before."""
    levels: list[Decimal] = []
    for value in sorted(values):
        if not levels or value >= STEP * levels[-1]:
            levels.append(value)
    return levels


def _traded(flows: Flows) -> dict[str, Decimal]:
    traded: dict[str, Decimal] = defaultdict(Decimal)
    for (seller, buyer), flow in flows.items():
        traded[seller] += flow.quantity
        traded[buyer] += flow.quantity
    return traded


def _keeps_to_itself(
    flows: Flows, traded: dict[str, Decimal], members: frozenset[str], limits: WashRing
) -> bool:
    """What the sums alone show, before the trades are read."""
    inside = [flow for pair, flow in flows.items() if members.issuperset(pair)]
    share = 2 * sum((flow.quantity for flow in inside), Decimal(0)) / sum(traded[m] for m in members)
    enough = sum(flow.trades for flow in inside) >= limits.least_trades * len(members)
    return enough and share >= Decimal(str(limits.least_share))


def _finding(symbol: str, trades: Sequence[Trade], size: int, share: Decimal) -> Finding:
    users = {user for trade in trades for user in (trade.buyer, trade.seller)}
    quantity = sum((trade.quantity for trade in trades), Decimal(0))
    return Finding(
        kind=WASH_RING,
        symbol=symbol,
        users=tuple(sorted(users)),
        since=trades[0].at,
        until=trades[-1].at,
        score=round(float(share), 4),
        detail={
            "members": size,
            "trades": len(trades),
            "quantity": plain(quantity),
            "share_of_own_volume": f"{share:.4f}",
        },
        trades=tuple(trade.id for trade in trades),
        orders=tuple(sorted({order for t in trades for order in (t.buyer_order, t.seller_order)})),
    )


DETECTOR = FlowDetector(WASH_RING, WashRing, severity=3, look_back="longest_window", find=find)
