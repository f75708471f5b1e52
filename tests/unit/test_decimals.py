"""Decimals in plain notation."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exchange.base.decimals import plain, plain_or_none
from matching.core.scale import trim


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0.20", "0.2"),
        ("100", "100"),
        ("100.00", "100"),
        ("1E+3", "1000"),
        ("0", "0"),
        ("0E-8", "0"),
        ("0E+2", "0"),
        ("-0", "-0"),
        ("-0.000", "-0"),
        ("-1.50", "-1.5"),
        ("0.000000000000000001", "0.000000000000000001"),
        ("123456789012345678.123456789012345678", "123456789012345678.123456789012345678"),
    ],
)
def test_a_decimal_is_written_without_zeros_at_its_end(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text
    assert plain_or_none(Decimal(value)) == text
    assert trim(f"{Decimal(value):f}") == text


def test_what_is_not_there_stays_not_there() -> None:
    assert plain_or_none(None) is None
