"""`manage.py cancel_only SYMBOL --reason WHY`: what rests may be taken out, nothing may come in."""

from __future__ import annotations

from matching.core.types import MarketStatus
from trading.management.market_command import EXIT_CODES, RestrictCommand


class Command(RestrictCommand):
    help = (
        "Set a market, or all markets of a group, to CANCEL_ONLY: cancels are taken, new orders and amendments "
        "refused. It trades again when a second person approves `resume`. " + EXIT_CODES
    )
    status = MarketStatus.CANCEL_ONLY
