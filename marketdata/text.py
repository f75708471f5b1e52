"""How market data writes numbers."""

from __future__ import annotations

from decimal import Decimal

from matching.core.scale import trim


def plain(value: Decimal) -> str:
    """Plain notation, no zeros at the end."""
    return trim(f"{value:f}")


def plain_or_none(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
