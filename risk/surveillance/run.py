"""Looks at what is new in the markets, a job at a time, and raises what is found.

A job is one market and one length of window: `orders` sees single orders and trades of the last hour or so, `hour`,
`day` and `week` the sums of theirs. Each has a cursor; its row's lock, held for one transaction, keeps two workers
apart, and a job that was killed is done again. A finding that says nothing new is not raised again, whether its
case is closed or not (docs/decisions/024).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import structlog
from django.db import transaction
from django.db.models import F, Q

from exchange.base.ids import uuid7
from risk.cases import workflow
from risk.detectors import registry, wash_rings
from risk.detectors.records import SECOND, Among, Finding, Owners
from risk.models.surveillance import RaisedFinding, SurveillanceCursor
from risk.surveillance import evidence, history, policies

LATE = 120 * SECOND  # so long an event may be under way
EVERY = {"orders": 60, "hour": 60, "day": 900, "week": 7200}  # seconds between two looks at a market
LENGTH = dict(zip(("hour", "day", "week"), wash_rings.LENGTHS, strict=True))

log = structlog.get_logger(__name__)


class Looked(NamedTuple):
    jobs: int
    findings: list[Finding]  # that were raised


class Found(NamedTuple):
    finding: Finding
    severity: int
    evidence: dict[str, Any]


def due(seconds: float) -> Looked:
    """The jobs whose turn it is, the longest waiting first, for about that long; at least one."""
    end = time.monotonic() + seconds
    done, raised = 0, []
    for symbol, job in _waiting(datetime.now(UTC)):
        raised += look(symbol, job)
        done += 1
        if time.monotonic() > end:
            break
    return Looked(done, raised)


def everything() -> Looked:
    """All jobs of all markets now, whether or not they are due, and back to the beginning of each window."""
    known = list(SurveillanceCursor.objects.order_by("symbol", "job").values_list("symbol", "job"))
    raised = [finding for symbol, job in known for finding in look(symbol, job, from_start=True)]
    return Looked(len(known), raised)


def look(symbol: str, job: str, *, from_start: bool = False) -> list[Finding]:
    """One job, in one transaction; what was raised. Nothing if another worker is at it."""
    now = datetime.now(UTC)
    with transaction.atomic():
        cursors = SurveillanceCursor.objects.select_for_update(skip_locked=True)
        cursor = cursors.filter(symbol=symbol, job=job).first()
        if cursor is None:
            return []
        until = history.micros(now)
        since = 0 if from_start or cursor.looked_at is None else history.micros(cursor.looked_at) - LATE
        raised: list[Finding] = []
        if history.has_news(symbol, since):
            seen = _in_orders(symbol, until) if job == "orders" else _in_flows(symbol, job, since, until)
            raised = [found.finding for found in seen if _raise(found)]
        cursor.looked_at = now
        cursor.save(update_fields=["looked_at"])
    if raised:
        log.info("surveillance alert", market=symbol, job=job, kinds=sorted({f.kind for f in raised}))
    return raised


def _waiting(now: datetime) -> Iterable[tuple[str, str]]:
    def behind(cursor: SurveillanceCursor) -> float:
        waited = (now - cursor.looked_at).total_seconds() if cursor.looked_at else float("inf")
        return waited / EVERY[cursor.job]

    cursors = SurveillanceCursor.objects.filter(
        Q(looked_at=None) | Q(looked_at__lte=now), job__in=EVERY
    ).order_by(F("looked_at").asc(nulls_first=True))
    late = sorted(((behind(cursor), cursor.symbol, cursor.job) for cursor in cursors), reverse=True)
    return [(symbol, job) for ratio, symbol, job in late if ratio >= 1]


def _in_orders(symbol: str, until: int) -> list[Found]:
    known = policies.read()
    since = until - max(registry.longest_look_back(policy.rules) for policy in known) * SECOND
    trades, orders = history.trades(symbol, since, until), history.shown(symbol, since, until)
    owners = history.owners()
    found = [
        (policy, finding)
        for policy in known
        for finding in registry.in_orders(symbol, trades, orders, owners, policy.rules, until=until)
    ]
    return _under_policy(found, lambda finding: evidence.of(finding, trades, orders, owners))


def _in_flows(symbol: str, job: str, since: int, until: int) -> list[Found]:
    """All windows of that length that reach into the time since the last look."""
    known, owners, length = policies.read(), history.owners(), LENGTH[job]
    found: list[Found] = []
    for start, end in wash_rings.windows(length, max(since, until - length), until):
        flows = history.flows(symbol, start, end)
        among = partial(history.trades_among, symbol, start, end)
        in_window = [
            (policy, finding)
            for policy in known
            for finding in registry.in_flows(symbol, flows, among, owners, policy.rules, length=length)
        ]
        read = partial(_of_flows, among, owners)
        found += _under_policy(in_window, read)
    return found


def _of_flows(among: Among, owners: Owners, finding: Finding) -> dict[str, Any]:
    return evidence.of(finding, among(finding.users), (), owners)


def _under_policy(
    found: Sequence[tuple[policies.Policy, Finding]], read: Callable[[Finding], dict[str, Any]]
) -> list[Found]:
    """The findings whose people the policy concerns, each with its evidence."""
    users = {user for _, finding in found for user in finding.users}
    institutions = policies.institution_of(users) if users else {}
    return [
        Found(finding, policy.rules.severities[finding.kind], read(finding))
        for policy, finding in found
        if policy.concerns(finding, institutions)
    ]


def _raise(found: Found) -> bool:
    """Whether there was something new to raise."""
    finding = found.finding
    until, rows = history.moment(finding.until), len(finding.trades) + len(finding.orders)
    known = RaisedFinding.objects.select_for_update().filter(subject=finding.subject).first()
    if known is not None and known.covers(until, rows):
        return False
    RaisedFinding.objects.update_or_create(
        subject=finding.subject, defaults={"until": until, "rows": rows, "raised_at": datetime.now(UTC)}
    )
    workflow.raise_alert(
        kind=finding.kind,
        severity=found.severity,
        user_id=finding.users[0],
        symbol=finding.symbol,
        score=finding.score,
        detail=finding.detail,
        evidence=found.evidence,
        dedup=finding.dedup,
        trace_id=uuid7(),
    )
    return True
