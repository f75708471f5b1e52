"""What the house's people do with a payment. Each step locks it, so of two people the second finds it changed.

    deposit       confirm | reject
    withdrawal    approve → send → complete | fail;  reject

No person decides about their own, nor about another institution's. What takes two is asked for with the first call
of `confirm` or `approve`, and done when another person approves that request (`trading.payments.approval`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from exchange.base.decimals import plain
from exchange.platform.approvals import requests as approvals
from exchange.platform.approvals.models import Approval, State
from exchange.platform.members.models import User
from risk.pretrade import kill_switch
from trading.models import Deposit, Withdrawal
from trading.models.payments import DEPOSIT_STEPS, WITHDRAWAL_STEPS
from trading.payments import booking
from trading.payments.refusal import Missing, Refused

Kind = TypeVar("Kind", Deposit, Withdrawal)

DECIDE, APPROVE = "payments.decide", "payments.approve"


@transaction.atomic
def confirm(deposit_id: UUID, *, by: User, reference: str = "", reason: str = "", trace_id: str) -> Deposit:
    """The money is there: book it, or ask for the second person that it takes. Raises Missing or Refused."""
    deposit = lock(Deposit, deposit_id, by)
    check_step(deposit, "CONFIRMED")
    if deposit.second_person:
        deposit.reference = reference or deposit.reference
        _ask(deposit, by, reason)
        return deposit
    return confirmed(deposit, by=by, reference=reference, trace_id=trace_id)


@transaction.atomic
def approve(withdrawal_id: UUID, *, by: User, reason: str = "", trace_id: str) -> Withdrawal:
    """It may be paid out; or ask for the second person that it takes. Raises Missing or Refused."""
    withdrawal = lock(Withdrawal, withdrawal_id, by)
    check_step(withdrawal, "APPROVED")
    if withdrawal.second_person:
        _ask(withdrawal, by, reason)
        return withdrawal
    return approved(withdrawal, by=by, trace_id=trace_id)


@transaction.atomic
def send(withdrawal_id: UUID, *, by: User, reference: str, trace_id: str) -> Withdrawal:
    """It was handed to the bank or the chain, which calls it `reference`. Raises Missing or Refused."""
    withdrawal = lock(Withdrawal, withdrawal_id, by)
    check_step(withdrawal, "SENT")
    _unblocked(withdrawal)
    if not reference.strip():
        raise Refused("reference_missing", _("Say under which reference it was sent."))
    withdrawal.reference = reference.strip()
    return _step(withdrawal, "SENT", by, trace_id)


@transaction.atomic
def complete(withdrawal_id: UUID, *, by: User, trace_id: str) -> Withdrawal:
    """It arrived: the hold becomes a posting. Raises Missing or Refused."""
    withdrawal = lock(Withdrawal, withdrawal_id, by)
    check_step(withdrawal, "COMPLETED")
    withdrawal.transaction_id = UUID(booking.book(withdrawal, trace_id))
    return _step(withdrawal, "COMPLETED", by, trace_id)


@transaction.atomic
def fail(withdrawal_id: UUID, *, by: User, reason: str, trace_id: str) -> Withdrawal:
    """It was sent and came back: the user has it again. Raises Missing or Refused."""
    return _refuse(Withdrawal, withdrawal_id, "FAILED", by, reason, trace_id)


@transaction.atomic
def reject(kind: type[Kind], payment_id: UUID, *, by: User, reason: str, trace_id: str) -> Kind:
    """It will not be. Raises Missing or Refused."""
    return _refuse(kind, payment_id, "REJECTED", by, reason, trace_id)


def confirmed(deposit: Deposit, *, by: User, reference: str = "", trace_id: str) -> Deposit:
    """The step itself, on a locked row."""
    deposit.reference = reference.strip() or deposit.reference
    deposit.transaction_id = UUID(booking.book(deposit, trace_id))
    return _step(deposit, "CONFIRMED", by, trace_id)


def approved(withdrawal: Withdrawal, *, by: User, trace_id: str) -> Withdrawal:
    """The step itself, on a locked row. Raises Refused."""
    _unblocked(withdrawal)
    withdrawal.approved_by = by
    return _step(withdrawal, "APPROVED", by, trace_id)


def lock(kind: type[Kind], payment_id: UUID, by: User, permission: str = DECIDE) -> Kind:
    """The payment, which `by` may decide. Raises Missing or Refused."""
    found: Kind | None = (
        kind._default_manager.select_for_update(of=("self",), no_key=True)
        .select_related("user__institution", "asset")
        .filter(pk=payment_id)
        .first()
    )
    if found is None or (by.institution_id is not None and by.institution_id != found.user.institution_id):
        raise Missing
    if found.user_id == by.pk:
        raise Refused("same_person", _("Nobody decides about money of their own."))
    if not by.has_perm(permission):
        raise Refused("forbidden", _("This needs the permission %(name)s.") % {"name": permission})
    return found


def check_step(payment: Deposit | Withdrawal, state: str) -> None:
    """Raises Refused if `state` does not follow the one it is in."""
    steps = DEPOSIT_STEPS if isinstance(payment, Deposit) else WITHDRAWAL_STEPS
    if state not in steps.get(payment.state, ()):
        raise Refused(
            "payment_not_open", _("It is %(state)s already.") % {"state": payment.get_state_display()}
        )


def approval_code(payment: Deposit | Withdrawal) -> str:
    return "DEPOSIT" if isinstance(payment, Deposit) else "WITHDRAWAL"


def subject(payment: Deposit | Withdrawal) -> str:
    name = approval_code(payment).lower()
    return f"{name}/{payment.pk} {plain(payment.amount)} {payment.asset.code}"


def _ask(payment: Deposit | Withdrawal, by: User, reason: str) -> None:
    code, about = approval_code(payment), subject(payment)
    if Approval.objects.filter(kind=code, subject=about, state=State.PENDING).exists():
        raise Refused("approval_waits", _("It waits for a second person already."))
    try:
        approvals.request(
            code,
            institution=payment.user.institution,
            subject=about,
            payload={"id": str(payment.pk)},
            reason=reason,
            by=by,
            about=payment.user,
        )
    except approvals.ApprovalError as error:
        raise Refused("approval_refused", str(error)) from error
    payment.asked_by = by
    payment.updated_at = timezone.now()
    payment.save()


def _unblocked(withdrawal: Withdrawal) -> None:
    """Who was blocked since gets nothing out."""
    user = withdrawal.user
    if kill_switch.active_block(user) is not None or (
        user.institution and kill_switch.active_block(user.institution)
    ):
        raise Refused("user_blocked", _("The user is blocked: release the block or reject the withdrawal."))


def _refuse(kind: type[Kind], payment_id: UUID, state: str, by: User, reason: str, trace_id: str) -> Kind:
    payment = lock(kind, payment_id, by)
    check_step(payment, state)
    if not reason.strip():
        raise Refused("reason_missing", _("Give a reason: the user is told."))
    payment.reason = reason.strip()
    return _step(payment, state, by, trace_id)


def _step(payment: Kind, state: str, by: User, trace_id: str) -> Kind:
    was, payment.state = payment.state, state
    payment.decided_by, payment.updated_at = by, timezone.now()
    if state in _LAST:
        payment.closed_at = payment.updated_at
        if isinstance(payment, Withdrawal):
            payment.held = Decimal(0)
    payment.save()
    booking.settle()
    booking.record_step(payment, was, by=by, trace_id=trace_id)
    return payment


_LAST = {"CONFIRMED", "COMPLETED", "REJECTED", "FAILED"}
