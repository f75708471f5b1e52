"""Spoofing and layering: depth is shown on one side so that an own order trades on the other, then withdrawn.

Sources: "bidding or offering with the intent to cancel the bid or offer before execution", Commodity Exchange
Act, section 4c(a)(5)(C) (Dodd-Frank Act, section 747); Regulation (EU) 596/2014 (MAR), Annex I A(f), and Delegated
Regulation (EU) 2016/522, Annex II, section 1, "layering and spoofing": large or several orders on one side to
execute a trade on the other, removed once it is done. Size is measured in the market's mean order, as by E. J. Lee,
K. S. Eom and K. S. Park, "Microstructure-based manipulation", Journal of Financial Markets 16 (2013), 227-252.

An episode is own fills on one side with deceptive depth on the other: shown before the fill and not long, near the
price, hardly filled, and withdrawn by its owner soon after. Intent is inferred from what market makers, who cancel
most, do not do: the deceptive depth outweighs by far what the owner shows on the side that trades, it happens more
than once, and such episodes are much of all that the owner ever withdraws.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, NamedTuple

from msgspec import Meta

from exchange.base.decimals import plain
from risk.detectors.detector import OrderDetector, Thresholds
from risk.detectors.records import SECOND, AbuseKind, DisplayedOrder, Finding, Owners, Side, Trade

SPOOFING = AbuseKind("SPOOFING")
LAYERING = AbuseKind("LAYERING")


class DeceptiveDepth(Thresholds, frozen=True):
    """Spoofing and layering: depth shown on one side for the sake of an own fill on the other."""

    window: Annotated[int, Meta(ge=60, le=86_400, description="seconds in which the episodes must be")] = 3600
    least_episodes: Annotated[int, Meta(ge=1, le=100, description="times that it happened")] = 2
    longest_life: Annotated[int, Meta(ge=1, le=3600, description="seconds from the bait to the fill")] = 60
    longest_wait: Annotated[
        int, Meta(ge=1, le=3600, description="seconds from the fill to the withdrawal")
    ] = 10
    least_imbalance: Annotated[
        float, Meta(gt=0.5, le=1, description="bait, of all that the owner showed on both sides at the fill")
    ] = 0.8
    least_size: Annotated[
        float, Meta(gt=0, le=1000, description="bait as a multiple of the market's mean order")
    ] = 1.5
    most_filled: Annotated[float, Meta(ge=0, le=1, description="of the bait, if it was hit")] = 0.1
    farthest: Annotated[
        float, Meta(gt=0, le=1, description="of the price: what is shown beyond that misleads nobody")
    ] = 0.02
    least_share: Annotated[
        float, Meta(gt=0, le=1, description="bait, of all depth that the owner withdrew in the window")
    ] = 0.4


class Spoofing(DeceptiveDepth, frozen=True):
    """One or two large orders; with more prices than that it is layering."""


class Layering(DeceptiveDepth, frozen=True):
    least_layers: Annotated[
        int, Meta(ge=2, le=100, description="prices at which bait is shown at a time")
    ] = 3


class Fill(NamedTuple):
    at: int
    side: Side
    price: Decimal
    quantity: Decimal
    order: str
    trade: str


class Episode(NamedTuple):
    side: Side  # of the fills
    fills: list[Fill]
    deceptive: list[DisplayedOrder]
    imbalance: Decimal

    @property
    def depth(self) -> Decimal:
        return sum((order.quantity for order in self.deceptive), Decimal(0))

    @property
    def layers(self) -> int:
        return len({order.price for order in self.deceptive})


def find(
    symbol: str,
    trades: Sequence[Trade],
    orders: Sequence[DisplayedOrder],
    owners: Owners,
    limits: Mapping[AbuseKind, DeceptiveDepth],
) -> list[Finding]:
    """One finding an owner, of all episodes in the window: layering if most of them have depth at `least_layers`
    prices or more, else spoofing. A kind without limits is not looked for."""
    if not orders:
        return []
    mean = sum((order.quantity for order in orders), Decimal(0)) / len(orders)
    fills = _fills(trades, owners)
    shown: dict[str, list[DisplayedOrder]] = defaultdict(list)
    for order in orders:
        shown[owners.get(order.user, order.user)].append(order)
    found = []
    for owner in sorted(fills.keys() & shown.keys()):
        withdrawn = [order for order in shown[owner] if order.withdrawn and order.closed is not None]
        for kind, rules in sorted(limits.items()):
            known = list(episodes(fills[owner], withdrawn, shown[owner], mean, rules))
            if not known or _kind(known, limits) != kind:
                continue
            taken = sum((order.withdrawn for episode in known for order in episode.deceptive), Decimal(0))
            share = taken / sum((order.withdrawn for order in withdrawn), Decimal(0))
            if len(known) >= rules.least_episodes and share >= Decimal(str(rules.least_share)):
                found.append(_finding(kind, symbol, known, share))
    return found


def episodes(
    fills: Sequence[Fill],
    withdrawn: Sequence[DisplayedOrder],
    shown: Sequence[DisplayedOrder],
    mean: Decimal,
    limits: DeceptiveDepth,
) -> Iterator[Episode]:
    """The episodes of one owner, by time; no displayed order counts twice."""
    large = Decimal(str(limits.least_size)) * mean
    for side, run, deceptive in _with_deceptive_depth(fills, sorted(withdrawn, key=_opened), limits):
        first, depth = run[0], sum((order.quantity for order in deceptive), Decimal(0))
        if depth < large:
            continue
        own = {fill.order: fill.quantity for fill in run}  # a taker's order was never shown
        own |= {
            order.order: order.quantity
            for order in shown
            if order.side is side and order.opened <= first.at <= (order.closed or first.at)
        }
        imbalance = depth / (depth + sum(own.values(), Decimal(0)))
        if imbalance >= Decimal(str(limits.least_imbalance)):
            yield Episode(side, run, deceptive, imbalance)


def _with_deceptive_depth(
    fills: Sequence[Fill], withdrawn: Sequence[DisplayedOrder], limits: DeceptiveDepth
) -> Iterator[tuple[Side, list[Fill], list[DisplayedOrder]]]:
    """Fills of one side that have deceptive orders in common, and all of those."""
    used: set[tuple[str, int]] = set()
    run: list[Fill] = []
    deceptive: dict[tuple[str, int], DisplayedOrder] = {}
    for fill in fills:
        begin = bisect_left(withdrawn, fill.at - limits.longest_life * SECOND, key=_opened)
        end = bisect_left(withdrawn, fill.at, key=_opened)
        found = {
            (order.order, order.opened): order
            for order in withdrawn[begin:end]
            if _is_deceptive(order, fill, limits) and (order.order, order.opened) not in used
        }
        if run and fill.side is run[0].side and found.keys() & deceptive.keys():
            run.append(fill)
            deceptive |= found
        elif found:
            if run:
                yield run[0].side, run, list(deceptive.values())
            used.update(deceptive)
            run, deceptive = [fill], found
    if run:
        yield run[0].side, run, list(deceptive.values())


def _opened(order: DisplayedOrder) -> int:
    return order.opened


def _is_deceptive(order: DisplayedOrder, fill: Fill, limits: DeceptiveDepth) -> bool:
    """Of an order that was placed before the fill, and not too long."""
    assert order.closed is not None
    return (
        order.side is fill.side.opposite
        and fill.at <= order.closed <= fill.at + limits.longest_wait * SECOND
        and order.filled <= Decimal(str(limits.most_filled)) * order.quantity
        and abs(order.price - fill.price) <= Decimal(str(limits.farthest)) * fill.price
    )


def _fills(trades: Sequence[Trade], owners: Owners) -> dict[str, list[Fill]]:
    """By owner and time; trades of an owner with themselves are another matter."""
    fills: dict[str, list[Fill]] = defaultdict(list)
    for trade in trades:
        buyer, seller = owners.get(trade.buyer, trade.buyer), owners.get(trade.seller, trade.seller)
        if buyer != seller:
            one = (trade.price, trade.quantity)
            fills[buyer].append(Fill(trade.at, Side.BUY, *one, trade.buyer_order, trade.id))
            fills[seller].append(Fill(trade.at, Side.SELL, *one, trade.seller_order, trade.id))
    return fills


def _kind(known: Sequence[Episode], limits: Mapping[AbuseKind, DeceptiveDepth]) -> AbuseKind:
    """Layering if at least half of the episodes are."""
    rules = limits.get(LAYERING, Layering())
    assert isinstance(rules, Layering)
    layered = sum(episode.layers >= rules.least_layers for episode in known)
    return LAYERING if 2 * layered >= len(known) else SPOOFING


def _finding(kind: AbuseKind, symbol: str, known: Sequence[Episode], share: Decimal) -> Finding:
    known = sorted(known, key=lambda episode: episode.fills[0].at)
    fills = [fill for episode in known for fill in episode.fills]
    deceptive = [order for episode in known for order in episode.deceptive]
    imbalance = sum((episode.imbalance for episode in known), Decimal(0)) / len(known)
    return Finding(
        kind=kind,
        symbol=symbol,
        users=tuple(sorted({order.user for order in deceptive})),
        since=min(order.opened for order in deceptive),
        until=max(order.closed or 0 for order in deceptive),
        score=round(float(imbalance * share), 4),
        detail={
            "episodes": len(known),
            "bait_orders": len(deceptive),
            "most_layers": max(episode.layers for episode in known),
            "withdrawn": plain(sum((order.withdrawn for order in deceptive), Decimal(0))),
            "filled_opposite": plain(sum((fill.quantity for fill in fills), Decimal(0))),
            "mean_imbalance": f"{imbalance:.4f}",
            "share_of_withdrawn": f"{share:.4f}",
        },
        trades=tuple(dict.fromkeys(fill.trade for fill in fills)),
        orders=tuple(dict.fromkeys([*(order.order for order in deceptive), *(fill.order for fill in fills)])),
    )


DETECTORS = (
    OrderDetector(SPOOFING, Spoofing, severity=3, find=find, together=True),
    OrderDetector(LAYERING, Layering, severity=3, find=find, together=True),
)
