"""A user's fee rates, for the estimate beside an order that is not sent yet."""

from __future__ import annotations

import msgspec

from exchange.base.decimals import plain
from exchange.members.models import User
from trading.catalog import catalog
from trading.fees import in_force


class Rates(msgspec.Struct, frozen=True):
    """Fractions of what is received, as decimal texts: 0.001 is 0.1 %."""

    maker: str
    taker: str


NONE = Rates("0", "0")


def of(user: User) -> dict[str, Rates]:
    """By symbol: the instrument's own schedule, else the institution's general one, else no fees."""
    schedules = {
        row.instrument_id: Rates(plain(row.maker), plain(row.taker))
        for row in in_force().filter(institution=user.institution_id)
        if row.maker is not None and row.taker is not None
    }
    general = schedules.get(None, NONE)
    return {market.symbol: schedules.get(market.id, general) for market in catalog.markets()}
