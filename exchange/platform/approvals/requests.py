"""Asking for what takes a second person, and deciding it.

Each step is a transaction of its own with its audit record. A decision locks the request, so that of two people who
decide at once the second is told that it is decided. If what is approved cannot be carried out, nothing happens: the
request waits on, and the record says that it was tried.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as text

from exchange.base.env import env
from exchange.base.ids import uuid7
from exchange.platform.approvals.kinds import ApprovalKind, FieldChange, Payload, kind
from exchange.platform.approvals.models import Approval, State
from exchange.platform.audit.log import record
from exchange.platform.members.models import Institution, User

LONGEST = 500  # characters of a reason, or of what came of it


class ApprovalError(Exception):
    """Its text says what was wrong, for the person who tried."""


class SamePerson(ApprovalError):
    """Who asks, or whom it concerns, cannot be the second person."""


class NotPending(ApprovalError):
    """There is no such request, or it is decided."""


class Expired(ApprovalError):
    """It was not decided in time."""


class NotAllowed(ApprovalError):
    """The person has no permission for this, or not for this institution."""


class ReasonMissing(ApprovalError):
    """Whoever asks, approves or rejects says why."""


class Refused(ApprovalError):
    """What is asked for cannot be carried out."""


def request(
    code: str,
    *,
    institution: Institution | None,
    subject: str,
    payload: Payload,
    reason: str,
    by: User,
    about: User | None = None,
) -> Approval:
    """Ask for a second person. `institution` is whose staff may decide (None: the platform's), `about` the user whom it
    concerns, who can't take part. `payload` is JSON, names people by id, and never changes. Raises ApprovalError."""
    wanted = kind(code)
    _may(by, wanted.request_permission, institution.pk if institution else None)
    if about is not None and about.pk == by.pk:
        raise SamePerson(text("nobody asks for something that concerns themselves"))
    now = timezone.now()
    with transaction.atomic():
        wanted.check(payload)
        approval = Approval.objects.create(
            kind=code,
            institution=institution,
            about=about,
            subject=subject,
            payload=payload,
            changes=[list(change) for change in _changes(wanted, payload)],
            reason=_reason(reason),
            requested_by=by,
            requested_at=now,
            expires_at=now + timedelta(hours=env.exchange_approval_hours),
        )
        _record("REQUEST", approval, by, {"reason": approval.reason, "asked": payload})
    return approval


def approve(approval_id: UUID | str, *, by: User, reason: str) -> Approval:
    """Carry out what was asked for, as a second person. Raises ApprovalError; then nothing has happened."""
    try:
        with transaction.atomic():
            approval = _waiting(approval_id)
            wanted = may_approve(approval, by)
            if not approval.requested_by.has_perm(wanted.request_permission):
                raise Refused(text("who asked for it may not do so any more: reject it"))
            _decide(approval, State.APPROVED, by, _reason(reason))
            _carry_out(approval, wanted, by)
    except Refused as error:
        _tried(approval_id, by, str(error))
        raise
    return approval


def _carry_out(approval: Approval, wanted: ApprovalKind, by: User) -> None:
    try:
        wanted.check(approval.payload)
        found = _changes(wanted, approval.payload)
        approval.outcome = wanted.apply(approval)[:LONGEST]
    except ObjectDoesNotExist as error:
        raise Refused(text("what it names is not there any more")) from error
    approval.save(update_fields=DECISION)
    new: Payload = {name: new for name, _old, new in found}
    new |= {"reason": approval.decision_reason, "outcome": approval.outcome}
    _record("APPROVE", approval, by, new, old={name: old for name, old, _new in found})


def reject(approval_id: UUID | str, *, by: User, reason: str) -> Approval:
    """Turn it down; who asked withdraws instead. Raises ApprovalError."""
    with transaction.atomic():
        approval = _waiting(approval_id)
        may_approve(approval, by)
        return _end(approval, State.REJECTED, by, _reason(reason))


def withdraw(approval_id: UUID | str, *, by: User, reason: str = "") -> Approval:
    """Take back one's own request. Raises ApprovalError."""
    with transaction.atomic():
        approval = _waiting(approval_id)
        if approval.requested_by_id != by.pk:
            raise NotAllowed(text("only who asked withdraws; others reject"))
        return _end(approval, State.WITHDRAWN, by, reason.strip())


def expire() -> int:
    """End what has run out; how many there were."""
    due = Approval.objects.filter(state=State.PENDING, expires_at__lte=timezone.now())
    with transaction.atomic():
        ended = list(due.select_for_update(skip_locked=True))
        for approval in ended:
            _end(approval, State.EXPIRED, None, "")
    return len(ended)


def may_approve(approval: Approval, by: User) -> ApprovalKind:
    """The kind of what `by` may decide. Raises SamePerson, NotAllowed or Expired."""
    if approval.expires_at <= timezone.now():
        raise Expired(
            text("it ran out at %(at)s UTC: ask anew") % {"at": f"{approval.expires_at:%Y-%m-%d %H:%M}"}
        )
    if by.pk == approval.requested_by_id:
        raise SamePerson(text("another person than the one who asked must decide"))
    if by.pk == approval.about_id:
        raise SamePerson(text("nobody decides what concerns themselves"))
    wanted = kind(approval.kind)
    _may(by, wanted.approve_permission, approval.institution_id)
    return wanted


DECISION = ["state", "decided_by", "decided_at", "decision_reason", "outcome"]


def _may(by: User, permission: str, institution_id: UUID | None) -> None:
    if not by.has_perm(permission):
        raise NotAllowed(text("%(who)s has no permission %(name)s") % {"who": by, "name": permission})
    if by.institution_id is not None and by.institution_id != institution_id:
        raise NotAllowed(text("%(who)s decides and asks for their own institution alone") % {"who": by})


def _waiting(approval_id: UUID | str) -> Approval:
    found = (
        Approval.objects.select_for_update(of=("self",))
        .select_related("requested_by", "institution", "about")
        .filter(pk=approval_id)
        .first()
    )
    if found is None:
        raise NotPending(text("there is no request %(id)s") % {"id": approval_id})
    if found.state != State.PENDING:
        raise NotPending(text("it is decided already: %(state)s") % {"state": found.get_state_display()})
    return found


def _reason(given: str) -> str:
    if not given.strip():
        raise ReasonMissing(text("give a reason, for the record"))
    if len(given) > LONGEST:
        raise ReasonMissing(
            text("a reason has at most %(most)s characters, not %(count)s")
            % {"most": LONGEST, "count": len(given)}
        )
    return given.strip()


def _changes(wanted: ApprovalKind, payload: Payload) -> list[FieldChange]:
    """As they are kept: in English, whatever the user's language."""
    with translation.override("en"):
        return wanted.changes(payload)


def _decide(approval: Approval, state: State, by: User | None, reason: str) -> None:
    approval.state, approval.decided_by, approval.decision_reason = state, by, reason
    approval.decided_at = timezone.now()


def _end(approval: Approval, state: State, by: User | None, reason: str) -> Approval:
    _decide(approval, state, by, reason)
    approval.save(update_fields=DECISION)
    _record(_ACTIONS[state], approval, by, {"reason": reason})
    return approval


TRIED = "TRY_APPROVE"
_ACTIONS = {State.REJECTED: "REJECT", State.WITHDRAWN: "WITHDRAW", State.EXPIRED: "EXPIRE"}


def _tried(approval_id: UUID | str, by: User, why: str) -> None:
    """On record although all else of it was rolled back."""
    approval = Approval.objects.filter(pk=approval_id).first()
    if approval is not None:
        with transaction.atomic():
            _record(TRIED, approval, by, {"refused": why})


def resource(approval: Approval) -> str:
    """Its name in audit records."""
    return f"approval/{approval.pk}"


def _record(
    verb: str, approval: Approval, by: User | None, new: Payload, old: dict[str, str] | None = None
) -> None:
    record(
        action=f"{verb}_{approval.kind}",
        resource=resource(approval),
        actor=str(by.pk) if by else "",
        role=by.role if by else "",
        institution=str(approval.institution_id or ""),
        old=old,
        new={"subject": approval.subject, "state": approval.state, **new},
        trace_id=uuid7(),
    )
