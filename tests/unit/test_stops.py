"""Prices from elsewhere, which may lie between two ticks, and what is none."""

from __future__ import annotations

from decimal import Decimal

import pytest

from matching.core.scale import InstrumentScale

SCALE = InstrumentScale(Decimal("0.05"), Decimal("0.001"), 8, 8)


@pytest.mark.parametrize(
    ("price", "around"),
    [
        ("10", (200, 200)),
        ("10.000000000000000001", (200, 201)),
        ("10.049999999999", (200, 201)),
        ("10.05", (201, 201)),
        ("0.01", (0, 1)),
        ("123456789012345678.000000000000000001", (2469135780246913560, 2469135780246913561)),
    ],
)
def test_the_ticks_around_a_price(price: str, around: tuple[int, int]) -> None:
    assert SCALE.ticks_around(Decimal(price)) == around


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity", "1e400"])
def test_what_is_no_price(price: str) -> None:
    assert SCALE.ticks_around(Decimal(price)) is None
