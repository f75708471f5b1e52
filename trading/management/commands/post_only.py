"""`manage.py post_only SYMBOL --reason WHY`: orders may come to rest, none may trade at once."""

from __future__ import annotations

from matching.core.types import MarketStatus
from trading.management.market_command import EXIT_CODES, RestrictCommand


class Command(RestrictCommand):
    help = (
        "Set a market, or all markets of a group, to POST_ONLY: orders that would trade at once are refused, all "
        "others rest. From a stricter status it takes a second person's approval: `resume --status POST_ONLY`. "
        + EXIT_CODES
    )
    status = MarketStatus.POST_ONLY
