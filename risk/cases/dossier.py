"""A case as people read it: what was found, the evidence as tables and pictures, and what was noted."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from django.db.models import F, QuerySet
from django.utils.translation import gettext as _

from exchange.base.times import rfc3339
from risk.cases import redaction
from risk.cases.evidence import LEFT_OUT
from risk.models import Alert, Case, CaseNote
from risk.models.cases import TRANSITIONS, UNDER_WAY, Severity, State

FIRST = ("id", "at", "asset", "user", "side", "price", "quantity")  # columns of a table, before all others


def queue(*, state: str | None = None) -> QuerySet[Case]:
    """Cases of a state, or all under way: the worst first, and of equally bad ones the most unusual."""
    cases = Case.objects.select_related("user", "assignee")
    cases = cases.filter(state=state) if state else cases.filter(state__in=UNDER_WAY)
    return cases.order_by("-severity", F("rank").desc(nulls_last=True), "-id")


def alerts(case: Case) -> list[Alert]:
    return list(case.alerts.select_related("user").order_by("-severity", "raised_at"))


def notes(case: Case) -> list[CaseNote]:
    return list(case.notes.select_related("author").order_by("id"))


def tables(alert: Alert, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each list of the evidence as name, headers, rows of texts, and how many rows were left out. `names` of users are
    shown for their ids."""
    left_out = alert.evidence.get(LEFT_OUT, {})
    return [
        {"name": name, "left_out": left_out.get(name, 0), **_table(rows)}
        for name, rows in redaction.replace_ids(alert.evidence, names).items()
        if name != LEFT_OUT
    ]


def picture(alert: Alert, names: Mapping[str, str]) -> str:
    """For an <img>, where nothing in it can run; empty if there is none."""
    if not alert.picture:
        return ""
    drawn = redaction.replace_short_ids(alert.picture, names)
    return "data:image/svg+xml;base64," + base64.b64encode(drawn.encode()).decode()


def choices(case: Case) -> list[str]:
    """Where the case may go."""
    return sorted(TRANSITIONS[State(case.state)])


def summary(case: Case) -> dict[str, Any]:
    return {
        "case": case.pk,
        "kind": case.kind,
        "state": case.state,
        "severity": Severity(case.severity).label,
        "score": round(case.score, 4),
        "rank": None if case.rank is None else round(case.rank, 4),
        "user": None if case.user is None else case.user.email,
        "symbol": case.symbol,
        "assignee": None if case.assignee is None else case.assignee.email,
        "opened_at": rfc3339(case.opened_at),
        "updated_at": rfc3339(case.updated_at),
    }


def whole(case: Case) -> dict[str, Any]:
    """All of it, for a program."""
    return summary(case) | {
        "may_become": choices(case),
        "reason": case.reason,
        "decided_by": None if case.decided_by is None else case.decided_by.email,
        "decided_at": None if case.decided_at is None else rfc3339(case.decided_at),
        "alerts": [
            {
                "alert": str(alert.pk),
                "kind": alert.kind,
                "severity": Severity(alert.severity).label,
                "score": round(alert.score, 4),
                "symbol": alert.symbol,
                "times": alert.times,
                "raised_at": rfc3339(alert.raised_at),
                "detail": alert.detail,
                "evidence": alert.evidence,
                "picture": alert.picture,
            }
            for alert in alerts(case)
        ],
        "notes": [
            {"author": note.author.email, "written_at": rfc3339(note.written_at), "text": note.text}
            for note in notes(case)
        ],
    }


def called(name: str) -> str:
    """A name of an alert or of its evidence, in the reader's language: "share_of_withdrawn" as "Share of withdrawn"."""
    return _(name.replace("_", " ").capitalize())


def _table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    known = {column for row in rows for column in row}
    columns = [*(column for column in FIRST if column in known), *sorted(known - set(FIRST))]
    cells = [["" if row.get(column) is None else str(row[column]) for column in columns] for row in rows]
    return {"headers": columns, "rows": cells}
