"""The queue as a person sees it: what waits, what a request would change, and what they may do with it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as text

from exchange.platform.approvals.kinds import kind, kinds
from exchange.platform.approvals.models import Approval, State
from exchange.platform.approvals.requests import TRIED, ApprovalError, may_approve, resource
from exchange.platform.audit.models import Record
from exchange.platform.members.models import User
from exchange.platform.members.tenancy import visible

Table = dict[str, list[Any]]


def waiting(user: Any) -> QuerySet[Approval]:
    """What waits for this person's decision, or another's, among what they may see."""
    mine = visible(user)
    theirs = Q() if mine is None else Q(institution=mine)
    return Approval.objects.filter(theirs, state=State.PENDING, expires_at__gt=timezone.now())


def badge(request: HttpRequest) -> str:
    """How many wait, for the sidebar; nothing if none."""
    count = waiting(request.user).count()
    return str(count) if count else ""


def shown_state(approval: Approval) -> str:
    """EXPIRED as soon as it has run out, although the task that writes so comes each minute."""
    run_out = approval.state == State.PENDING and approval.expires_at <= timezone.now()
    return State.EXPIRED if run_out else approval.state


def label_of(code: str) -> str:
    try:
        return str(kind(code).label)
    except KeyError:  # of an installation that knows more kinds than this one
        return code


def page(approval: Approval, user: User) -> dict[str, Any]:
    """For the template of one request."""
    return {
        "facts": _facts(approval),
        "asked": _table([text(name), called(old), called(new)] for name, old, new in approval.changes),
        "now": _now(approval),
        "history": _history(approval),
        "forms": _forms(approval, user),
        "why_not": _why_not(approval, user),
    }


def to_ask(user: Any) -> list[dict[str, str]]:
    """Pages on which this person may ask for something."""
    return [
        {"label": str(each.label), "address": reverse("admin:approvals_approval_ask", args=[each.code])}
        for each in kinds()
        if each.form and user.has_perm(each.request_permission)
    ]


def _facts(approval: Approval) -> list[tuple[str, str]]:
    try:
        return kind(approval.kind).describe(approval.payload)
    except (KeyError, ApprovalError, ObjectDoesNotExist):  # what it names is not there any more
        return [(name, str(value)) for name, value in approval.payload.items()]


def _now(approval: Approval) -> Table | None:
    """What it would change if it were approved now, where that is something else than when it was asked for."""
    if shown_state(approval) != State.PENDING:
        return None
    try:
        found = kind(approval.kind).changes(approval.payload)
    except (KeyError, ApprovalError, ObjectDoesNotExist):
        return None
    asked = [(old, new) for _name, old, new in approval.changes]
    return None if asked == [(old, new) for _name, old, new in found] else _table(map(list, found))


def called(value: str) -> str:
    """A kept value in the language of the user, if it is a word."""
    return text(value) if value else value


def _table(rows: Any) -> Table:
    return {"headers": [text("what"), text("old"), text("new")], "rows": list(rows)}


def _history(approval: Approval) -> Table:
    rows = [[_moment(approval.requested_at), text("requested"), str(approval.requested_by), approval.reason]]
    tried = Record.objects.filter(resource=resource(approval), action=f"{TRIED}_{approval.kind}").order_by(
        "pk"
    )
    people = User.objects.in_bulk([record.actor for record in tried])
    for record in tried:
        who = str(people.get(UUID(record.actor), "–"))
        rows.append([_moment(record.at), text("could not be carried out"), who, _why(record)])
    if approval.decided_at is not None:
        who = str(approval.decided_by or "–")
        reason = " · ".join(filter(None, [approval.decision_reason, approval.outcome]))
        rows.append([_moment(approval.decided_at), str(State(approval.state).label), who, reason])
    elif shown_state(approval) == State.EXPIRED:
        rows.append([_moment(approval.expires_at), str(State.EXPIRED.label), "–", ""])
    return {"headers": [text("when (UTC)"), text("what"), text("who"), text("why")], "rows": rows}


def _forms(approval: Approval, user: User) -> list[dict[str, Any]]:
    """What this person may do now, with a button each; only withdrawing needs no reason."""
    if shown_state(approval) != State.PENDING:
        return []
    if approval.requested_by_id == user.pk:
        return [_form(approval, "withdraw", text("Withdraw"), "default")]
    if _why_not(approval, user):
        return []
    return [
        _form(approval, "approve", text("Approve"), "primary"),
        _form(approval, "reject", text("Reject"), "danger"),
    ]


def _form(approval: Approval, verb: str, label: str, variant: str) -> dict[str, Any]:
    address = reverse("admin:approvals_approval_decide", args=[approval.pk, verb])
    return {"verb": verb, "label": label, "variant": variant, "attrs": {"formaction": address}}


def _why_not(approval: Approval, user: User) -> str:
    if shown_state(approval) != State.PENDING or approval.requested_by_id == user.pk:
        return ""
    try:
        may_approve(approval, user)
    except ApprovalError as error:
        return str(error)
    return ""


def _why(record: Record) -> str:
    return str(msgspec.json.decode(record.new).get("refused", ""))


def _moment(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
