"""Payments above the threshold as kinds of `exchange.platform.approvals`: one person asks, another lets it happen."""

from __future__ import annotations

from functools import partial
from typing import TypeVar
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext as text
from django.utils.translation import gettext_lazy as _

from exchange.base.decimals import plain
from exchange.platform.approvals.kinds import ApprovalKind, Payload
from exchange.platform.approvals.models import Approval
from exchange.platform.approvals.requests import Refused
from trading.models import Deposit, Withdrawal
from trading.payments import decisions, refusal

Model = type[Deposit] | type[Withdrawal]


def check(kind: Model, payload: Payload) -> None:
    """Raises Refused."""
    payment = _find(kind, payload)
    try:
        decisions.check_step(payment, _goal(kind))
    except refusal.Refused as error:
        raise Refused(error.detail) from error


def apply(kind: Model, approval: Approval) -> str:
    """Raises Refused."""
    by, trace_id = approval.decided_by, str(approval.pk)
    assert by is not None, "an approval that is applied has been decided by a user"
    key = UUID(approval.payload["id"])
    try:
        if kind is Deposit:
            deposit = _asked(decisions.lock(Deposit, key, by, decisions.APPROVE), approval)
            decisions.confirmed(deposit, by=by, trace_id=trace_id)
        else:
            withdrawal = _asked(decisions.lock(Withdrawal, key, by, decisions.APPROVE), approval)
            decisions.approved(withdrawal, by=by, trace_id=trace_id)
    except refusal.Missing as error:
        raise Refused(text("there is no such payment")) from error
    except refusal.Refused as error:
        raise Refused(error.detail) from error
    return f"{kind._meta.model_name}/{key} {_goal(kind)}"


Payment = TypeVar("Payment", Deposit, Withdrawal)


def _asked(payment: Payment, approval: Approval) -> Payment:
    """Locked, and still what was asked for. Raises Refused of either kind."""
    decisions.check_step(payment, _goal(type(payment)))
    if payment.asked_by_id != approval.requested_by_id:
        raise Refused(text("somebody else has asked for it since"))
    return payment


def describe(kind: Model, payload: Payload) -> list[tuple[str, str]]:
    payment = _find(kind, payload)
    return [
        (text("user"), str(payment.user)),
        (text("asset"), payment.asset.code),
        (text("amount"), plain(payment.amount)),
        (text("state"), str(payment.get_state_display())),
    ]


def _find(kind: Model, payload: Payload) -> Deposit | Withdrawal:
    found = kind._default_manager.select_related("user", "asset").filter(pk=payload["id"]).first()
    if found is None:
        raise Refused(text("there is no such payment"))
    payment: Deposit | Withdrawal = found
    return payment


def _goal(kind: Model) -> str:
    return "CONFIRMED" if kind is Deposit else "APPROVED"


def _kind(model: Model, code: str, label: Promise) -> ApprovalKind:
    return ApprovalKind(
        code=code,
        label=label,
        request_permission=decisions.DECIDE,
        approve_permission=decisions.APPROVE,
        check=partial(check, model),
        apply=partial(apply, model),
        describe=partial(describe, model),
    )


WITHDRAWAL = _kind(Withdrawal, "WITHDRAWAL", _("withdrawal"))
DEPOSIT = _kind(Deposit, "DEPOSIT", _("deposit"))
