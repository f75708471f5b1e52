"""How a decimal is written for people and in answers: in plain notation, without the zeros that say nothing."""

from __future__ import annotations

from decimal import Decimal


def plain(value: Decimal) -> str:
    """Exactly: 0.20 is "0.2", 100 stays "100", 1E+3 is "1000". A zero keeps its sign."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def plain_or_none(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
