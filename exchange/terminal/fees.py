"""A user's fee rates, for the estimate beside an order that is not sent yet."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from exchange.base.decimals import plain
from exchange.platform.members.models import User
from trading.reference import fee_rates
from trading.reference.catalog import catalog


class Rates(msgspec.Struct, frozen=True):
    """Fractions of what is received, as decimal texts: 0.001 is 0.1 %."""

    maker: str
    taker: str


def of(user: User) -> dict[str, Rates]:
    """By symbol."""
    schedules, institution = fee_rates.read(), str(user.institution_id)
    found = {}
    for market in catalog.markets():
        maker, taker = fee_rates.find(schedules, institution, market.id)
        found[market.symbol] = Rates(_fraction(maker), _fraction(taker))
    return found


def _fraction(millionths: int) -> str:
    return plain(Decimal(millionths).scaleb(-6))
