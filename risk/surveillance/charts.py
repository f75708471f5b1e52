"""Pictures for a case, as SVG text: who sold to whom, and what was shown and traded when.

No styles and no scripts, so that any page may show them whatever its policy; colours are readable on light and dark,
and shapes say the same as colours do. Each picture has a title and a description for readers who do not see it, and
each shape a title with its figures. Users are named by the last digits of their ids: the first ones are the time. No
e-mail is kept in a picture: `redaction.replace_short_ids` puts in the names that the reader may see.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from html import escape

import networkx

from exchange.base.decimals import plain
from risk.cases.redaction import short
from risk.detectors.records import SECOND, DisplayedOrder, Side, Trade

WIDTH, HEIGHT, MARGIN = 640, 480, 70
NODE = 30  # radius
LABEL = 0.37  # of the way along an arrow
BUY, SELL, LINE, INK = "#15803d", "#b91c1c", "#64748b", "#0f172a"
PAPER = "#f8fafc"
MOST = 400  # shapes of a kind; of more the largest are drawn


def graph(flows: Mapping[tuple[str, str], tuple[int, Decimal]]) -> str:
    """(seller, buyer) → (trades, quantity), as arrows between users in a circle, thicker for more."""
    network = networkx.DiGraph(sorted(flows))
    places = {
        user: (WIDTH / 2 + x * (WIDTH / 2 - MARGIN), HEIGHT / 2 + y * (HEIGHT / 2 - MARGIN))
        for user, (x, y) in networkx.circular_layout(sorted(network.nodes)).items()
    }
    most = max((quantity for _, quantity in flows.values()), default=Decimal(1))
    arrows, labels = [], []  # all labels are drawn after all arrows, which would cross them
    for (seller, buyer), (trades, quantity) in sorted(flows.items()):
        words = f"{short(seller)} sold {plain(quantity)} to {short(buyer)} in {trades} trades"
        width = 1 + 4 * float(quantity / most)
        arrow, label = _arrow(places[seller], places[buyer], width, plain(quantity), words)
        arrows.append(arrow)
        labels.append(label)
    parts = [*arrows, *labels, *(_node(place, user) for user, place in sorted(places.items()))]
    about = f"{len(places)} users, {sum(count for count, _ in flows.values())} trades among them."
    return _svg("Who sold to whom", about, parts)


def course(trades: Sequence[Trade], orders: Sequence[DisplayedOrder], users: set[str]) -> str:
    """Orders as bars from when they were shown to when they ended, trades as triangles; price over time."""
    shown = sorted(orders, key=lambda order: -order.quantity)[:MOST]
    drawn = sorted(trades, key=lambda trade: -trade.quantity)[:MOST]
    times = [trade.at for trade in drawn] + [
        at for order in shown for at in (order.opened, order.closed or order.opened)
    ]
    prices = [trade.price for trade in drawn] + [order.price for order in shown]
    if not times:
        return ""
    across = _scale(min(times), max(times), MARGIN, WIDTH - MARGIN)
    up = _scale(float(min(prices)), float(max(prices)), HEIGHT - MARGIN, MARGIN)
    most = max((order.quantity for order in shown), default=Decimal(1))
    parts = [_axes(min(prices), max(prices), (max(times) - min(times)) / SECOND)]
    for order in shown:
        words = (
            f"{order.side} {plain(order.quantity)} at {plain(order.price)}: "
            f"{plain(order.filled)} filled, {plain(order.withdrawn)} withdrawn"
        )
        parts.append(
            f'<rect x="{across(order.opened):.1f}" y="{up(float(order.price)) - 3:.1f}" '
            f'width="{max(2.0, across(order.closed or max(times)) - across(order.opened)):.1f}" '
            f'height="{2 + 6 * float(order.quantity / most):.1f}" fill="{_colour(order.side)}" '
            f'fill-opacity="0.5"><title>{escape(words)}</title></rect>'
        )
    for trade in drawn:
        side = Side.BUY if trade.buyer in users else Side.SELL
        parts.append(_triangle(across(trade.at), up(float(trade.price)), side, trade))
    about = f"{len(orders)} orders and {len(trades)} trades; bars are orders, triangles trades, upwards if bought."
    return _svg("Orders and trades over time", about, parts)


def _svg(title: str, about: str, parts: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12"><title>{escape(title)}</title><desc>{escape(about)}</desc>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>{"".join(parts)}</svg>'
    )


def _node(place: tuple[float, float], user: str) -> str:
    """Named outside its circle, where there is room for a long name, away from the middle."""
    x, y = place
    below = NODE + 14 if y >= HEIGHT / 2 else -NODE - 6
    return (
        f'<g><title>{escape(user)}</title><circle cx="{x:.1f}" cy="{y:.1f}" r="{NODE}" fill="#ffffff" '
        f'stroke="{INK}" stroke-width="1.5"/>{_text(x, y + below, short(user))}</g>'
    )


def _text(x: float, y: float, words: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" fill="{INK}" stroke="{PAPER}" stroke-width="4" '
        f'paint-order="stroke">{escape(words)}</text>'
    )


def _arrow(
    begin: tuple[float, float], end: tuple[float, float], width: float, label: str, words: str
) -> tuple[str, str]:
    """With its label. Bent to its left, so that an arrow back does not lie upon it; the label stands on its first half,
    where that of the arrow back does not."""
    (x1, y1), (x2, y2) = begin, end
    length = math.hypot(x2 - x1, y2 - y1) or 1.0
    along, aside = ((x2 - x1) / length, (y2 - y1) / length), ((y2 - y1) / length, -(x2 - x1) / length)
    bend = 0.12 * length
    mx, my = (x1 + x2) / 2 + aside[0] * bend, (y1 + y2) / 2 + aside[1] * bend
    sx, sy = x1 + along[0] * NODE, y1 + along[1] * NODE
    tx, ty = x2 - along[0] * (NODE + 8), y2 - along[1] * (NODE + 8)
    angle = math.degrees(math.atan2(ty - my, tx - mx))
    arrow = (
        f'<g><title>{escape(words)}</title><path d="M{sx:.1f} {sy:.1f}Q{mx:.1f} {my:.1f} {tx:.1f} {ty:.1f}" '
        f'fill="none" stroke="{LINE}" stroke-width="{width:.1f}"/>'
        f'<path d="M0 -5L10 0L0 5z" fill="{LINE}" transform="translate({tx:.1f} {ty:.1f}) rotate({angle:.1f})"/></g>'
    )
    near, bent, far = (1 - LABEL) ** 2, 2 * LABEL * (1 - LABEL), LABEL**2
    return arrow, _text(near * x1 + bent * mx + far * x2, near * y1 + bent * my + far * y2 + 4, label)


def _triangle(x: float, y: float, side: Side, trade: Trade) -> str:
    tip = -6 if side is Side.BUY else 6
    words = f"{'bought' if side is Side.BUY else 'sold'} {plain(trade.quantity)} at {plain(trade.price)}"
    return (
        f'<path d="M{x:.1f} {y + tip:.1f}L{x - 5:.1f} {y - tip / 2:.1f}L{x + 5:.1f} {y - tip / 2:.1f}z" '
        f'fill="{_colour(side)}" stroke="{INK}" stroke-width="0.5"><title>{escape(words)}</title></path>'
    )


def _axes(low: Decimal, high: Decimal, seconds: float) -> str:
    left, bottom = MARGIN - 10, HEIGHT - MARGIN + 10
    return (
        f'<path d="M{left} {MARGIN - 10}V{bottom}H{WIDTH - MARGIN + 10}" fill="none" stroke="{LINE}"/>'
        f'<text x="{left - 5}" y="{bottom - 10}" text-anchor="end" fill="{INK}">{plain(low)}</text>'
        f'<text x="{left - 5}" y="{MARGIN + 4}" text-anchor="end" fill="{INK}">{plain(high)}</text>'
        f'<text x="{WIDTH - MARGIN}" y="{bottom + 18}" text-anchor="end" fill="{INK}">{seconds:.0f} s</text>'
    )


def _scale(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    span = (high - low) or 1.0
    return lambda value: first + (value - low) / span * (last - first)


def _colour(side: Side) -> str:
    return BUY if side is Side.BUY else SELL
