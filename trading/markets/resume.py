"""Back to accepting orders: one person may stop a market, letting it go on takes two (docs/decisions/015)."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as text
from django.utils.translation import gettext_lazy as _

from exchange.platform.approvals.kinds import ApprovalKind, FieldChange, Payload
from exchange.platform.approvals.models import Approval
from exchange.platform.approvals.requests import Refused, request
from exchange.platform.members.models import User
from matching.core.types import MarketStatus
from matching.models import SymbolGroup
from trading.markets import status_control
from trading.orders import operator_commands
from trading.reference.catalog import Market

CODE = "RESUME"
STRICTNESS = [
    MarketStatus.TRADING,
    MarketStatus.POST_ONLY,
    MarketStatus.CANCEL_ONLY,
    MarketStatus.HALTED,
]  # mildest first
ACCEPTING = frozenset({MarketStatus.TRADING, MarketStatus.POST_ONLY})


def needs_second_person(before: MarketStatus, after: MarketStatus) -> bool:
    """True if more orders would be taken `after` than `before`."""
    return after in ACCEPTING and STRICTNESS.index(after) < STRICTNESS.index(before)


def ask(target: str | SymbolGroup, *, status: MarketStatus, reason: str, by: User) -> Approval:
    """Ask for a market (BTC/USDT), or all of a group, to go to `status`. Raises ApprovalError, UnknownMarket."""
    if isinstance(target, SymbolGroup):
        named, subject = {"group": target.name}, f"group/{target.name}"
    else:
        (market,) = status_control.markets_of(target)
        named, subject = {"symbol": market.symbol}, f"market/{market.symbol}"
    return request(
        CODE,
        institution=None,
        subject=f"{subject} {status}",
        payload={**named, "status": str(status)},
        reason=reason,
        by=by,
    )


def check(payload: Payload) -> None:
    """Raises Refused."""
    status = _status(payload)
    if not any(needs_second_person(before, status) for _market, before in _markets(payload)):
        raise Refused(text("nothing of it is stricter than %(status)s now") % {"status": status})


def apply(approval: Approval) -> str:
    """In the open transaction: the matcher gets the command when it commits."""
    payload, by = approval.payload, approval.decided_by
    assert by is not None, "an approval that is applied has been decided by a user"
    status = _status(payload)
    resumed = [market.symbol for market, before in _markets(payload) if needs_second_person(before, status)]
    for symbol in resumed:
        reason = approval.reason[: operator_commands.REASON_LENGTH]
        status_control.set_status(symbol, status, reason=reason, by=by.email, trace_id=str(approval.pk))
    return f"{', '.join(resumed)} → {status}"[:500]


def describe(payload: Payload) -> list[tuple[str, str]]:
    if "group" in payload:
        return [(text("group"), payload["group"])]
    return [(text("market"), payload["symbol"])]


def changes(payload: Payload) -> list[FieldChange]:
    status = _status(payload)
    return [
        (market.symbol, str(before), str(status))
        for market, before in _markets(payload)
        if needs_second_person(before, status)
    ]


def _status(payload: Payload) -> MarketStatus:
    status = MarketStatus(payload["status"])
    if status not in ACCEPTING:
        raise Refused(text("only TRADING and POST_ONLY are asked for"))
    return status


def _markets(payload: Payload) -> list[tuple[Market, MarketStatus]]:
    """With the status each has, or will have once its matcher has come to what was asked before. Raises Refused."""
    target = SymbolGroup(name=payload["group"]) if "group" in payload else payload["symbol"]
    try:
        markets = status_control.markets_of(target)
    except status_control.UnknownMarket as error:
        raise Refused(str(error)) from error
    with transaction.atomic():  # who only looks has none open
        expected = status_control.expected_status(markets)
    return [(market, expected[market.id]) for market in markets]


KIND = ApprovalKind(
    code=CODE,
    label=_("resuming a market"),
    request_permission="markets.resume",
    approve_permission="markets.approve",
    check=check,
    apply=apply,
    describe=describe,
    changes=changes,
)
