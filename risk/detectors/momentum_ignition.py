"""Momentum ignition: a burst of own aggressive orders moves the price, others follow, the way out is through them.

Sources: Regulation (EU) 596/2014 (MAR), Annex I A(d) and A(e) (position reversals in a short period, concentrated
in time, with a price that reverts), and Delegated Regulation (EU) 2016/522, Annex II, section 1, "momentum ignition":
orders likely to start or exacerbate a trend, so that others accelerate it and a position can be closed at a
favourable price.

A trader who follows a trend does the same a little later, so there must have been none before the burst. The move is
measured in standard deviations: of the price's changes from one cell of ten seconds to the next in the
window, times the root of the burst's length in cells, as for a random walk.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, NamedTuple

from msgspec import Meta

from exchange.base.decimals import plain
from risk.detectors.detector import OrderDetector, Thresholds
from risk.detectors.records import SECOND, AbuseKind, DisplayedOrder, Finding, Owners, Side, Trade

MOMENTUM_IGNITION = AbuseKind("MOMENTUM_IGNITION")
CELL = 10 * SECOND
BEFORE = 3 * CELL  # in which there was a trend to follow, or none
LEAST_CELLS = 30  # with a price, before anything is said about volatility


class MomentumIgnition(Thresholds, frozen=True):
    window: Annotated[int, Meta(ge=300, le=86_400, description="seconds looked at; volatility is theirs")] = (
        3600
    )
    longest_gap: Annotated[
        int, Meta(ge=1, le=600, description="seconds between aggressive orders of a burst")
    ] = 10
    longest_burst: Annotated[int, Meta(ge=1, le=3600, description="seconds")] = 120
    least_orders: Annotated[int, Meta(ge=2, le=1000, description="aggressive orders in the burst")] = 4
    least_share: Annotated[
        float, Meta(gt=0, le=1, description="own part of the aggressive volume of that side meanwhile")
    ] = 0.6
    least_sigmas: Annotated[
        float, Meta(gt=0, le=100, description="move of the price, in standard deviations for such a time")
    ] = 3.0
    longest_exit: Annotated[
        int, Meta(ge=1, le=86_400, description="seconds from the burst to the way out")
    ] = 150
    most_trend: Annotated[
        float, Meta(ge=0, le=100, description="move before the burst, in the same measure: more is following")
    ] = 1.5
    least_exit: Annotated[
        float, Meta(gt=0, le=1, description="of the burst, traded back at a better price")
    ] = 0.5


class Own(NamedTuple):
    """A trade as one of its sides sees it."""

    trade: Trade
    side: Side
    aggressive: bool

    @property
    def order(self) -> str:
        return self.trade.buyer_order if self.side is Side.BUY else self.trade.seller_order

    @property
    def user(self) -> str:
        return self.trade.buyer if self.side is Side.BUY else self.trade.seller


def find(symbol: str, trades: Sequence[Trade], owners: Owners, limits: MomentumIgnition) -> list[Finding]:
    """One finding an owner: all bursts in the window (trades by time) that moved the price and were left."""
    sigma = volatility(trades)
    if not sigma:
        return []
    tape = _Tape(trades)
    own = _by_owner(trades, owners)
    found = []
    for owner in sorted(own):
        bursts = []
        left = 0  # nothing that was a way out counts for two bursts
        for burst in _bursts(own[owner], limits):
            out = _way_out(own[owner], burst, limits, left)
            begin, end = burst[0].trade.at, burst[-1].trade.at
            unit = sigma * math.sqrt(max(1.0, (end - begin) / CELL))
            moved = tape.move(begin, end, burst[0].side) / unit
            before = tape.move(begin - BEFORE, begin - 1, burst[0].side) / (sigma * math.sqrt(BEFORE / CELL))
            alone = Decimal(str(limits.least_share)) * tape.aggressive(burst) <= _quantity(burst)
            if out and alone and moved >= limits.least_sigmas and before <= limits.most_trend:
                bursts.append((burst, out, moved))
                left = out[-1].trade.at + 1
        if bursts:
            found.append(_finding(symbol, bursts, limits))
    return found


def volatility(trades: Sequence[Trade]) -> float:
    """Standard deviation of the log price from cell to cell, 0.0 if there are too few cells.

    The largest twentieth of the changes does not count: else a burst would hide behind its own move.
    """
    cells: dict[int, float] = {trade.at // CELL: math.log(trade.price) for trade in trades}
    numbers = sorted(cells)
    if len(numbers) < LEAST_CELLS:
        return 0.0
    changes = sorted(abs(cells[b] - cells[a]) / math.sqrt(b - a) for a, b in pairwise(numbers))
    moved = [change for change in changes if change]
    if not moved:
        return 0.0
    squares = sorted(change * change for change in changes)[: int(len(changes) * 0.95)]  # bursts are rare
    return math.sqrt(sum(squares) / len(squares)) or moved[0]


class _Tape:
    """Lookups in the market's trades."""

    def __init__(self, trades: Sequence[Trade]) -> None:
        self._trades = trades
        self._times = [trade.at for trade in trades]

    def move(self, begin: int, end: int, side: Side) -> float:
        """Log move in that direction, from the last price before `begin` to the last one until `end`."""
        at, until = bisect_left(self._times, begin), bisect_right(self._times, end)
        if not 0 < at < until:
            return 0.0
        moved = math.log(self._trades[until - 1].price) - math.log(self._trades[at - 1].price)
        return moved if side is Side.BUY else -moved

    def aggressive(self, burst: Sequence[Own]) -> Decimal:
        """All that was traded aggressively in the burst's direction while it lasted."""
        first, last = (
            bisect_left(self._times, burst[0].trade.at),
            bisect_right(self._times, burst[-1].trade.at),
        )
        side = burst[0].side
        return sum((t.quantity for t in self._trades[first:last] if t.aggressor is side), Decimal(0))


def _by_owner(trades: Sequence[Trade], owners: Owners) -> dict[str, list[Own]]:
    own: dict[str, list[Own]] = defaultdict(list)
    for trade in trades:
        buyer, seller = owners.get(trade.buyer, trade.buyer), owners.get(trade.seller, trade.seller)
        if buyer != seller:
            own[buyer].append(Own(trade, Side.BUY, not trade.buyer_is_maker))
            own[seller].append(Own(trade, Side.SELL, trade.buyer_is_maker))
    return own


def _bursts(own: Sequence[Own], limits: MomentumIgnition) -> Iterator[list[Own]]:
    """Aggressive fills of one side in quick succession, ended by one of the other side."""
    burst: list[Own] = []
    for one in (one for one in own if one.aggressive):
        if burst and (
            one.side is not burst[0].side
            or one.trade.at - burst[-1].trade.at > limits.longest_gap * SECOND
            or one.trade.at - burst[0].trade.at > limits.longest_burst * SECOND
        ):
            if len({fill.order for fill in burst}) >= limits.least_orders:
                yield burst
            burst = []
        burst.append(one)
    if len({fill.order for fill in burst}) >= limits.least_orders:
        yield burst


def _way_out(own: Sequence[Own], burst: Sequence[Own], limits: MomentumIgnition, left: int) -> list[Own]:
    """The opposite fills after the burst, if they trade enough of it back, on average at a better price."""
    end = burst[-1].trade.at
    wanted = _quantity(burst)
    out: list[Own] = []
    quantity = Decimal(0)
    for one in own[bisect_right(own, end, key=lambda one: one.trade.at) :]:
        if one.trade.at > end + limits.longest_exit * SECOND or quantity >= wanted:
            break
        if one.side is not burst[0].side and one.trade.at >= left:
            out.append(one)
            quantity += one.trade.quantity
    if quantity < Decimal(str(limits.least_exit)) * wanted:
        return []
    gain = _mean_price(out) - _mean_price(burst)
    return out if (gain > 0 if burst[0].side is Side.BUY else gain < 0) else []


def _quantity(fills: Sequence[Own]) -> Decimal:
    return sum((one.trade.quantity for one in fills), Decimal(0))


def _mean_price(fills: Sequence[Own]) -> Decimal:
    return sum((one.trade.price * one.trade.quantity for one in fills), Decimal(0)) / _quantity(fills)


def _finding(
    symbol: str, bursts: Sequence[tuple[list[Own], list[Own], float]], limits: MomentumIgnition
) -> Finding:
    fills = [one for burst, out, _ in bursts for one in (*burst, *out)]
    strongest = max(moved for _, _, moved in bursts)
    return Finding(
        kind=MOMENTUM_IGNITION,
        symbol=symbol,
        users=tuple(sorted({one.user for one in fills})),
        since=fills[0].trade.at,
        until=fills[-1].trade.at,
        score=round(1 - limits.least_sigmas / (2 * strongest), 4),
        detail={
            "bursts": len(bursts),
            "most_sigmas": f"{strongest:.1f}",
            "bought_or_sold": plain(sum((_quantity(burst) for burst, _, _ in bursts), Decimal(0))),
            "traded_back": plain(sum((_quantity(out) for _, out, _ in bursts), Decimal(0))),
            "prices": [f"{_mean_price(burst):.8g} → {_mean_price(out):.8g}" for burst, out, _ in bursts],
        },
        trades=tuple(dict.fromkeys(one.trade.id for one in fills)),
        orders=tuple(dict.fromkeys(one.order for one in fills)),
    )


def find_in_trades(
    symbol: str,
    trades: Sequence[Trade],
    orders: Sequence[DisplayedOrder],
    owners: Owners,
    limits: MomentumIgnition,
) -> list[Finding]:
    """What was displayed has no say in it."""
    return find(symbol, trades, owners, limits)


DETECTOR = OrderDetector(MOMENTUM_IGNITION, MomentumIgnition, severity=2, find=find_in_trades)
