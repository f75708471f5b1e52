"""Charts as SVG that the server draws: attributes only, so they need no script and no style of their own.

Known limitation: coordinates are floats. They are drawn, never reckoned with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

Value = int | Decimal | None  # None: not known


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Chart:
    """`bars` fit into `width` × `height`; `top` is what a bar of full height stands for."""

    width: int
    height: int
    bars: list[Bar]
    top: str
    first: str
    last: str


def bars(
    values: Sequence[tuple[str, Value]], *, width: int = 600, height: int = 120, unit: str = ""
) -> Chart:
    """One bar for each (label, value), as wide as there is room."""
    known = [value for _, value in values if value is not None]
    top = max(known, default=0)
    step = width / max(1, len(values))
    drawn = [
        Bar(
            round(index * step + 1, 2),
            round(height - _share(value, top) * height, 2),
            round(max(1.0, step - 2), 2),
            round(_share(value, top) * height, 2),
            f"{label}: {number(value)}{unit}",
        )
        for index, (label, value) in enumerate(values)
        if value is not None
    ]
    labels = [label for label, _ in values] or [""]
    return Chart(width, height, drawn, number(top), labels[0], labels[-1])


def share(part: Decimal, whole: Decimal, width: int = 100) -> float:
    """How long a bar of `width` is for that part."""
    return round(_share(part, whole) * width, 2)


def _share(value: int | Decimal, top: int | Decimal) -> float:
    return float(value / top) if top else 0.0


def number(value: int | Decimal) -> str:
    """Short enough to be read at a glance: 1 234, 12.3 k, 4.56 M."""
    for unit, power in ((" G", 9), (" M", 6), (" k", 4)):
        if abs(value) >= 10**power:
            return f"{Decimal(value) / 10 ** (3 if power == 4 else power):.3g}{unit}"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else f"{value:.6g}"
