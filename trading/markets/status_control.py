"""What operators do to a market: halt it, restrict it, let it trade again.

    who asks, and why → audit record and durable commands, in the caller's transaction → stream, after its commit

The matcher applies the command in order with all others; `wait` says whether it has come to it. The commands and
the record commit together with whatever else the caller does, such as the approval that allows it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from exchange.base.ids import uuid7
from exchange.platform.audit import log as audit
from matching.codec import Envelope, decode_envelope
from matching.core.commands import Halt, Resume
from matching.core.types import MarketStatus
from matching.models import SymbolGroup
from trading.models import Instrument, PendingCommand
from trading.orders.operator_commands import checked_reason, send_changes
from trading.reference.catalog import Market, catalog

WAIT_SECONDS = 5.0  # for a matcher that is well; the command stays durable after that
LOOK_SECONDS = 0.02


class UnknownMarket(LookupError):
    """The text says which there are."""


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """A market's status that was asked for; `command` is the id of its matcher's command."""

    symbol: str
    before: str
    after: str
    command: str
    trace_id: str


def set_status(
    target: str | SymbolGroup,
    status: MarketStatus,
    *,
    reason: str,
    by: str,
    trace_id: str = "",
) -> list[StatusRequest]:
    """Have a market (BTC/USDT or BTC-USDT), or all markets of a group, go to `status`; a transaction must be open.

    `by` says who: a user's e-mail, or `command:NAME`. Raises UnknownMarket, and ValueError without a reason.
    """
    assert transaction.get_connection().in_atomic_block, "commands and their record commit together"
    reason = checked_reason(reason)
    trace_id = trace_id or uuid7()
    found = markets_of(target)
    before = expected_status(found)
    commands: dict[str, list[Envelope]] = defaultdict(list)
    requests = []
    for market in found:
        command: Halt | Resume = Halt(uuid7(), market.id, status)
        if status is MarketStatus.TRADING:
            command = Resume(uuid7(), market.id)
        commands[market.group].append(Envelope(command, trace_id))
        requests.append(
            StatusRequest(market.symbol, before[market.id].value, status.value, command.id, trace_id)
        )
        audit.record(
            action="market.status",
            resource=f"market/{market.symbol}",
            actor=by,
            old={"status": before[market.id].value},
            new={"status": status.value, "reason": reason},
            trace_id=trace_id,
        )
    Instrument.objects.filter(pk__in=[market.id for market in found]).update(status_reason=reason)
    send_changes(commands)
    return requests


def wait(requests: Sequence[StatusRequest], seconds: float = WAIT_SECONDS) -> list[StatusRequest]:
    """After the commit: those that their matchers have not come to in time. They will, when they are back."""
    missing = unapplied([each.command for each in requests], seconds)
    catalog.clear_cache()
    return [each for each in requests if each.command in missing]


def unapplied(commands: Sequence[str], seconds: float = WAIT_SECONDS) -> set[str]:
    """After the commit: those that still wait when all are applied, or the time is over."""
    until = time.monotonic() + seconds
    missing = set(commands)
    while True:
        waiting = PendingCommand.objects.filter(pk__in=missing)
        missing = {str(pk) for pk in waiting.values_list("pk", flat=True)} if missing else missing
        if not missing or time.monotonic() >= until:
            return missing
        time.sleep(LOOK_SECONDS)


def markets_of(target: str | SymbolGroup) -> list[Market]:
    """A market by its symbol, or all of a group. Raises UnknownMarket."""
    catalog.clear_cache()
    if isinstance(target, SymbolGroup):
        return [market for market in catalog.markets() if market.group == target.name]
    market = catalog.market(target)
    if market is None:
        known = ", ".join(each.symbol for each in catalog.markets()) or "none"
        raise UnknownMarket(f"no market {target!r}; there are: {known}")
    return [market]


def expected_status(markets: Sequence[Market]) -> dict[int, MarketStatus]:
    """By instrument, the status when all that was asked for has been applied. No other request is made until
    the open transaction ends."""
    ids = [market.id for market in markets]
    locked = Instrument.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
    expected = {row.pk: MarketStatus(row.status) for row in locked}
    waiting = PendingCommand.objects.filter(kind__in=["Halt", "Resume"]).order_by("created_at", "pk")
    for row in waiting.values_list("envelope", flat=True):
        command = decode_envelope(row).command
        if command.instrument in expected:
            after = command.status if isinstance(command, Halt) else MarketStatus.TRADING
            expected[command.instrument] = after
    return expected
