"""Alerts and the cases that people make of them: every change of either is made, and audited, here.

The caller has opened the transaction. Alerts are raised one after the other (an advisory lock), so that
what is found twice at a time becomes one alert; a case is changed under its row's lock. Where a case may go
from each state is a table (`models.cases.TRANSITIONS`); that a closed one is final the database enforces
(docs/decisions/024).
"""

from __future__ import annotations

from typing import Any

import msgspec
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from exchange.platform.audit import log as audit
from exchange.platform.events import outbox
from exchange.platform.members.models import User
from risk.cases import evidence as evidence_of
from risk.models import valuation_queue
from risk.models.cases import CLOSED, TRANSITIONS, UNDER_WAY, Alert, Case, CaseNote, Severity, State

TOPIC, EVENT = "risk.alerts", "RISK_ALERT"
LOCK_CLASS = 7463  # first key of our advisory lock; matching workers have 7461
SYSTEM = "system"  # who raises alerts


class NotAllowed(Exception):
    """The case may not be changed like that; the text says why."""


class NoSuchCase(NotAllowed):
    """There is none of that number."""


# -- what is found


def raise_alert(
    *,
    kind: str,
    severity: int,
    user_id: str | None,
    symbol: str | None,
    score: float,
    detail: dict[str, Any],
    evidence: dict[str, Any],
    dedup: str,
    trace_id: str,
) -> Alert:
    """A finding about a user (or about a market, without one) becomes an alert of a case.

    `kind` is a word such as SPOOFING, `severity` one of `Severity`, `score` what the method measured: higher
    is worse. `evidence` has lists of rows by name ("orders", "trades"; a row with an "id" is known by it) and
    may have a "picture", SVG text. `dedup` says what makes it the same finding: while its case is under way,
    the alert that is there takes the new evidence. Otherwise it joins the case about the same user and kind
    that is under way, or opens one. Raises ValueError for what is no evidence.
    """
    assert connection.in_atomic_block, "an alert commits with what it is about"
    lists, picture = evidence_of.split(evidence)
    plain = msgspec.to_builtins(detail, str_keys=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [LOCK_CLASS])
    found = Alert.objects.filter(dedup=dedup, kind=kind, case__state__in=UNDER_WAY).first()
    if found is not None:
        case = _locked(found.case_id)
        if case.state in UNDER_WAY:  # it was not closed just now
            return _found_again(found.pk, case, Severity(severity), score, plain, lists, picture, trace_id)
    case = _case_for(kind, Severity(severity), user_id, symbol or "", score, trace_id)
    alert = Alert.objects.create(
        case=case,
        kind=kind,
        severity=severity,
        user_id=user_id,
        symbol=symbol or "",
        score=score,
        detail=plain,
        evidence=lists,
        picture=picture,
        dedup=dedup,
        trace_id=trace_id,
    )
    _grow(case, alert)
    _audit("case.alert", case, SYSTEM, new={"alert": str(alert.pk), "kind": kind}, trace_id=trace_id)
    _publish(alert, trace_id)
    return alert


def _case_for(
    kind: str, severity: Severity, user_id: str | None, symbol: str, score: float, trace_id: str
) -> Case:
    """The case that a new alert belongs to, locked. What has no user is investigated by itself."""
    if user_id is not None:
        about = Case.objects.filter(user_id=user_id, kind=kind, state__in=UNDER_WAY)
        case = about.select_for_update(of=("self",)).first()
        if case is not None:
            return case
    case = Case.objects.create(kind=kind, user_id=user_id, symbol=symbol, severity=severity, score=score)
    _audit("case.opened", case, SYSTEM, new={"state": case.state, "kind": kind}, trace_id=trace_id)
    return case


def _found_again(
    alert_id: Any,
    case: Case,
    severity: Severity,
    score: float,
    detail: dict[str, Any],
    lists: dict[str, Any],
    picture: str,
    trace_id: str,
) -> Alert:
    """Nothing is written where nothing is new: a method that looks each minute finds the same for an hour."""
    alert = Alert.objects.get(pk=alert_id)
    merged = evidence_of.merge(alert.evidence, lists)
    worse = severity > alert.severity
    if merged == alert.evidence and not worse and score <= alert.score:
        return alert
    before = {"times": alert.times, "severity": alert.severity, "score": alert.score}
    alert.evidence, alert.detail = merged, detail
    alert.picture = picture or alert.picture
    alert.severity, alert.score = max(alert.severity, severity), max(alert.score, score)
    alert.times += 1
    alert.updated_at = timezone.now()
    alert.save()
    _grow(case, alert)
    after = {"times": alert.times, "severity": alert.severity, "score": alert.score}
    _audit("case.alert", case, SYSTEM, old=before, new={"alert": str(alert.pk), **after}, trace_id=trace_id)
    if worse:
        _publish(alert, trace_id)
    return alert


def _grow(case: Case, alert: Alert) -> None:
    case.severity, case.score = max(case.severity, alert.severity), max(case.score, alert.score)
    case.updated_at = timezone.now()
    case.save(update_fields=["severity", "score", "updated_at"])
    _reckon_score(case)


def _publish(alert: Alert, trace_id: str) -> None:
    """`risk.alerts`, keyed by the user, or by the market if it is about no user."""
    payload = {
        "alert_id": str(alert.pk),
        "kind": alert.kind,
        "severity": alert.severity,
        "user_id": None if alert.user_id is None else str(alert.user_id),
        "symbol": alert.symbol or None,
        "score": round(alert.score, 4),
        "detail": alert.detail,
    }
    outbox.append(TOPIC, str(alert.user_id or alert.symbol or alert.kind), EVENT, payload, trace_id=trace_id)


# -- what people do


def assign(case_id: int, *, to: User, by: User, address: str = "") -> Case:
    """The case is `to`'s to investigate. Assigning it to the user who has it already changes nothing."""
    case = _open(case_id)
    if not to.is_staff or not to.is_active:
        raise NotAllowed(_("%(who)s is not of the staff") % {"who": to})
    if case.state == State.INVESTIGATING and case.assignee_id == to.pk:
        return case
    old = _facts(case)
    if case.state != State.INVESTIGATING:
        _move(case, State.INVESTIGATING)
    case.assignee = to
    return _save(case, "case.assigned", by, old, address)


def release(case_id: int, *, by: User, address: str = "") -> Case:
    """Back in the queue, for another person to take."""
    case = _open(case_id)
    old = _facts(case)
    _move(case, State.OPEN)
    case.assignee = None
    return _save(case, "case.released", by, old, address)


def decide(case_id: int, *, verdict: State, reason: str, by: User, address: str = "") -> Case:
    """Close it, for good. Raises `NotAllowed` without a reason, or where the case may not go."""
    case = _open(case_id)
    if verdict not in CLOSED:
        raise NotAllowed(_("%(state)s is no decision") % {"state": verdict})
    if not reason.strip():
        raise NotAllowed(_("a decision needs its reason"))
    old = _facts(case)
    _move(case, verdict)
    case.reason, case.decided_by, case.decided_at = reason.strip(), by, timezone.now()
    return _save(case, "case.decided", by, old, address)


def note(case_id: int, *, text: str, by: User, address: str = "") -> CaseNote:
    case = _open(case_id)
    if not text.strip():
        raise NotAllowed(_("a note says something"))
    written = CaseNote.objects.create(case=case, author=by, text=text.strip())
    _audit("case.noted", case, str(by.pk), new={"note": written.pk}, role=by.role, address=address)
    return written


def _locked(case_id: int) -> Case:
    assert connection.in_atomic_block, "a case changes together with its audit event"
    case = Case.objects.select_for_update(of=("self",)).filter(pk=case_id).first()
    if case is None:
        raise NoSuchCase(f"there is no case {case_id}")
    return case


def _open(case_id: int) -> Case:
    case = _locked(case_id)
    if case.state in CLOSED:
        raise NotAllowed(_("case %(case)s is closed: it is final") % {"case": case_id})
    return case


def _move(case: Case, to: State) -> None:
    if to not in TRANSITIONS[State(case.state)]:
        named = {"case": case.pk, "state": case.get_state_display(), "to": _(str(to.label))}
        raise NotAllowed(_("case %(case)s is %(state)s: it cannot become %(to)s") % named)
    case.state = to


def _save(case: Case, action: str, by: User, old: dict[str, Any], address: str) -> Case:
    case.updated_at = timezone.now()
    case.save(
        update_fields=["state", "assignee", "reason", "decided_by", "decided_at", "updated_at"],
    )
    _audit(action, case, str(by.pk), old=old, new=_facts(case), role=by.role, address=address)
    _reckon_score(case)
    return case


def _facts(case: Case) -> dict[str, Any]:
    assignee = None if case.assignee_id is None else str(case.assignee_id)
    return {"state": str(case.state), "assignee": assignee, "reason": case.reason}


def _reckon_score(case: Case) -> None:
    """Soon. After the commit, so that raising alerts never waits for a portfolio's row."""
    if case.user_id is not None:
        transaction.on_commit(lambda: valuation_queue.enqueue([str(case.user_id)]))


def _audit(action: str, case: Case, actor: str, **more: Any) -> None:
    """In the institution of the user that the case is about."""
    owner = case.user.institution_id if case.user is not None else None
    audit.record(action=action, resource=f"case/{case.pk}", actor=actor, institution=str(owner or ""), **more)
