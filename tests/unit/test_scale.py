"""Decimals to ticks, lots and minor units and back; what is rounded, and which way."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.core.scale import InstrumentScale, fee_minor, minor_text, to_minor, trim

BTC_USDT = InstrumentScale(Decimal("0.01"), Decimal("0.00001"), 8, 8)
NO_MULTIPLES = [
    "NaN",
    "sNaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "1e-400",
    "1E+99999999",
    "1E-99999999",
    "0.005",
]


@pytest.mark.parametrize(
    ("text", "ticks"), [("60000.12", 6_000_012), ("0", 0), ("-1.5", -150), ("1E+3", 100_000)]
)
def test_prices_in_ticks(text: str, ticks: int) -> None:
    assert BTC_USDT.to_ticks(Decimal(text)) == ticks
    assert BTC_USDT.price(ticks) == Decimal(text)


@pytest.mark.parametrize("text", [*NO_MULTIPLES, "0." + "1" * 200, "9" * 40])
def test_what_is_no_multiple_is_none_however_absurd(text: str) -> None:
    assert BTC_USDT.to_ticks(Decimal(text)) is None


def test_zeros_behind_do_not_matter() -> None:
    assert BTC_USDT.to_lots(Decimal("0.1" + "0" * 200)) == 10_000


@pytest.mark.parametrize(
    ("tick", "ticks", "text"),
    [("0.25", 3, "0.75"), ("0.25", 4, "1.00"), ("5", 3, "15"), ("1E+1", 3, "30"), ("0.050", 3, "0.15")],
)
def test_texts_have_the_digits_of_the_step(tick: str, ticks: int, text: str) -> None:
    scale = InstrumentScale(Decimal(tick), Decimal(1), 0, 2)
    assert scale.price_text(ticks) == text
    assert scale.to_ticks(Decimal(text)) == ticks


def test_amounts_are_exact() -> None:
    """0.00003 BTC at 60000.12: 1.8000036 USDT."""
    assert BTC_USDT.base_minor(3) == 3_000
    assert minor_text(BTC_USDT.quote_minor(6_000_012, 3), 8) == "1.80000360"


@pytest.mark.parametrize(
    ("tick", "lot", "base_scale", "quote_scale", "message"),
    [
        ("0.01", "0.00001", 8, 2, "tick times lot is 1E-7"),
        ("1", "0.001", 2, 8, "the lot is 0.001"),
        ("0", "1", 8, 8, "the tick must be a positive decimal"),
        ("-1", "1", 8, 8, "the tick must be a positive decimal"),
        ("NaN", "1", 8, 8, "the tick must be a positive decimal"),
        ("1", "Infinity", 8, 8, "the lot must be a positive decimal"),
    ],
)
def test_an_instrument_whose_amounts_would_need_rounding_is_refused(
    tick: str, lot: str, base_scale: int, quote_scale: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        InstrumentScale(Decimal(tick), Decimal(lot), base_scale, quote_scale)


@pytest.mark.parametrize(
    ("amount", "rate_ppm", "fee"),
    [
        (1_000_000, 1_000, 1_000),
        (1_000_001, 1_000, 1_001),  # 1000.001 is rounded up
        (1, 1, 1),
        (0, 1_000, 0),
        (5, 0, 0),
        (5, 2_000_000, 5),  # never more than there is
    ],
)
def test_a_fee_is_rounded_up_to_the_house(amount: int, rate_ppm: int, fee: int) -> None:
    assert fee_minor(amount, rate_ppm) == fee


@pytest.mark.parametrize(
    ("minor", "scale", "text"),
    [
        (150_000_000, 8, "1.50000000"),
        (1, 8, "0.00000001"),
        (0, 2, "0.00"),
        (-5, 2, "-0.05"),
        (-12_345, 2, "-123.45"),
        (7, 0, "7"),
        (10**30, 18, "1000000000000.000000000000000000"),
    ],
)
def test_minor_units_as_text(minor: int, scale: int, text: str) -> None:
    assert minor_text(minor, scale) == text
    assert to_minor(Decimal(text), scale) == minor


def test_an_amount_with_more_digits_than_the_asset_is_none() -> None:
    assert to_minor(Decimal("0.001"), 2) is None


@pytest.mark.parametrize(
    ("text", "trimmed"), [("1.50", "1.5"), ("2.00", "2"), ("100", "100"), ("0.00", "0"), ("-0.50", "-0.5")]
)
def test_trim_takes_zeros_that_say_nothing(text: str, trimmed: str) -> None:
    assert trim(text) == trimmed


steps = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places), st.integers(1, 500), st.integers(0, 8)
)
counts = st.integers(0, 10**15)


@given(steps, steps, counts, counts)
def test_there_and_back(tick: Decimal, lot: Decimal, ticks: int, lots: int) -> None:
    scale = InstrumentScale(tick, lot, 8, 16)
    assert scale.to_ticks(Decimal(scale.price_text(ticks))) == ticks
    assert scale.to_lots(scale.quantity(lots)) == lots
    assert Decimal(minor_text(scale.base_minor(lots), 8)) == scale.quantity(lots)


@given(counts, st.integers(0, 50_000))
def test_a_fee_is_the_least_whole_amount_that_covers_the_rate(amount: int, rate_ppm: int) -> None:
    fee = fee_minor(amount, rate_ppm)
    assert 0 <= fee <= amount
    assert fee * 1_000_000 >= amount * rate_ppm > (fee - 1) * 1_000_000
