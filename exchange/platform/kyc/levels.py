"""The levels and what each allows: an institution's own row, else the installation's, else what stands here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from django.apps import apps

HIGHEST = 3


class Terms(NamedTuple):
    """Caps are a day's sum (in UTC), in `currency`; None: no cap."""

    level: int
    name: str
    may_trade: bool
    may_deposit: bool
    may_withdraw: bool
    currency: str
    daily_deposit: Decimal | None
    daily_withdrawal: Decimal | None


DEFAULTS = (
    Terms(0, "Not identified", False, False, False, "USDT", Decimal(0), Decimal(0)),
    Terms(1, "Basic", True, True, True, "USDT", Decimal(10_000), Decimal(1_000)),
    Terms(2, "Verified", True, True, True, "USDT", Decimal(100_000), Decimal(50_000)),
    Terms(3, "Full", True, True, True, "USDT", None, None),
)


def terms(institution: UUID | str | None, level: int) -> Terms:
    """What `level` allows at that institution."""
    return all_terms([institution])[str(institution), level]


def all_terms(institutions: Iterable[UUID | str | None]) -> Mapping[tuple[str, int], Terms]:
    """By institution and level."""
    rows = apps.get_model("kyc", "KycLevel").objects.values_list("institution_id", *Terms._fields)
    differing = {(str(owner) if owner else "", row[0]): Terms(*row) for owner, *row in rows}
    return {
        (str(institution), level): differing.get((str(institution), level))
        or differing.get(("", level))
        or DEFAULTS[level]
        for institution in institutions
        for level in range(HIGHEST + 1)
    }
