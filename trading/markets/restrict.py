"""What one operator may do to a market alone: make it stricter. To let it take orders again needs a second person
(docs/decisions/015)."""

from __future__ import annotations

from django.utils.translation import gettext as _

from matching.core.types import MarketStatus
from matching.models import SymbolGroup
from trading.markets import status_control
from trading.markets.resume import needs_second_person
from trading.markets.status_control import StatusRequest


class NeedsSecondPerson(Exception):
    """The text says which markets would take more orders than now."""


def restrict(
    target: str | SymbolGroup, status: MarketStatus, *, reason: str, by: str, trace_id: str = ""
) -> list[StatusRequest]:
    """Have a market, or all of a group, go to `status`; a transaction must be open. Raises NeedsSecondPerson,
    and what `status_control.set_status` raises.

    What others have asked for before counts, also where a matcher has not come to it yet.
    """
    markets = status_control.markets_of(target)
    expected = status_control.expected_status(markets)
    milder = [
        f"{market.symbol} is {expected[market.id]}"
        for market in markets
        if needs_second_person(expected[market.id], status)
    ]
    if milder:
        raise NeedsSecondPerson(
            _("%(symbols)s: %(status)s would take more orders, which a second person must approve (resume)")
            % {"symbols": ", ".join(milder), "status": _(status)}
        )
    return status_control.set_status(target, status, reason=reason, by=by, trace_id=trace_id)
