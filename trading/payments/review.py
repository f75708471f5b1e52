"""Which payments take a second person: those above EXCHANGE_WITHDRAWAL_REVIEW, and all of an asset that it does not
name."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

from exchange.env import env


def takes_two(asset: str, amount: Decimal) -> bool:
    threshold = _thresholds(env.exchange_withdrawal_review).get(asset)
    return threshold is None or amount > threshold


@cache
def _thresholds(text: str) -> dict[str, Decimal]:
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {asset: Decimal(amount) for asset, _, amount in pairs}
