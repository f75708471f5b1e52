"""Which payments take a second person: those above EXCHANGE_WITHDRAWAL_REVIEW, and all of an asset that it does not
name.

What the user has asked for in the same asset within a day counts with it, or many small ones would pass where one is
looked at. The caller has locked the user: of two requests the second sees the first.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import cache

from django.db.models import Sum
from django.utils import timezone

from exchange.base.env import env
from exchange.platform.members.models import User
from trading.models import Asset, Deposit, Withdrawal

SPAN = timedelta(hours=24)
UNDONE = ["REJECTED", "CANCELLED", "FAILED"]


def needs_second_person(
    kind: type[Deposit] | type[Withdrawal], user: User, asset: Asset, amount: Decimal
) -> bool:
    threshold = _thresholds(env.exchange_withdrawal_review).get(asset.code)
    return threshold is None or amount + _lately(kind, user, asset) > threshold


def _lately(kind: type[Deposit] | type[Withdrawal], user: User, asset: Asset) -> Decimal:
    rows = kind._default_manager.filter(user=user, asset=asset, created_at__gt=timezone.now() - SPAN)
    return rows.exclude(state__in=UNDONE).aggregate(sum=Sum("amount"))["sum"] or Decimal(0)


@cache
def _thresholds(text: str) -> dict[str, Decimal]:
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {asset: Decimal(amount) for asset, _, amount in pairs}
