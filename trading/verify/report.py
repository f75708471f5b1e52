"""All checks, one after another, and what came of them: as values, as a table, as JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from trading.verify import books, check, guards, journal, ledger_seals, references
from trading.verify.check import Finding, Progress
from trading.verify.replay import Replay
from trading.verify.snapshot import Snapshot, snapshot


@dataclass(frozen=True, slots=True)
class Report:
    taken_at: datetime
    findings: list[Finding]
    commands: int  # replayed
    replay_seconds: float
    seconds: float

    @property
    def clean(self) -> bool:
        return all(finding.result != "breach" for finding in self.findings)


def run(progress: Progress, *, replay: bool) -> Report:
    """Raises psycopg.OperationalError or django.db.OperationalError when PostgreSQL is away."""
    started = time.monotonic()
    with snapshot() as taken:
        findings = list(checks(taken, progress))
        replayed = Replay(taken, progress)
        if replay:
            findings += replayed.run()
    return Report(taken.taken_at, findings, replayed.commands, replayed.seconds, time.monotonic() - started)


def checks(taken: Snapshot, progress: Progress) -> Iterator[Finding]:
    for name in (
        "database",
        "ledger",
        "orders",
        "trades",
        "wallet",
        "payments",
        "approvals",
        "journal",
        "outbox",
        "closed_days",
    ):
        yield from check.run(taken.connection, check.load(name), progress)
    yield from check.run(taken.connection, guards.checks() + references.checks(), progress)
    yield from ledger_seals.check(taken.connection, progress)
    yield from journal.check(taken.connection, progress)
    yield from books.check(taken, progress)


def as_table(report: Report) -> Iterator[str]:
    """Lines: result, invariant, rule, how many of what, seconds; under a breach, its first row."""
    width = max(len(finding.rule.says) for finding in report.findings)
    unit = max(len(finding.rule.looked_at) for finding in report.findings)
    for finding in report.findings:
        rule = finding.rule
        what = f"{rule.invariant or '-'}  {rule.says:<{width}} {finding.count:>12,} {rule.looked_at:<{unit}}"
        yield f"{finding.result:<8} {what} {finding.seconds:8.2f} s"
        if finding.breaches:
            yield f"         {rule.name}: {finding.breaches:,} of them; the first: {finding.first}"
            yield from (f"         {'':<{len(rule.name)}}  {each}" for each in finding.named[1:])
    broken = [finding.rule.name for finding in report.findings if finding.result == "breach"]
    if report.commands:
        rate = report.commands / max(report.replay_seconds, 1e-9)
        yield f"{report.commands:,} commands replayed, {rate:,.0f} a second"
    outcome = f"broken: {', '.join(broken)}" if broken else "clean"
    moment = report.taken_at.isoformat(timespec="seconds")
    yield f"{len(report.findings)} checks as of {moment} in {report.seconds:.1f} s: {outcome}"


def as_document(report: Report) -> dict[str, Any]:
    """For --json."""
    checks = [
        {
            **asdict(finding.rule),
            "count": finding.count,
            "breaches": finding.breaches,
            "result": finding.result,
            "first": finding.first,
            "named": finding.named,
            "seconds": round(finding.seconds, 3),
        }
        for finding in report.findings
    ]
    for document in checks:
        del document["warning"]
    return {
        "clean": report.clean,
        "taken_at": report.taken_at.isoformat(),
        "seconds": round(report.seconds, 3),
        "commands_replayed": report.commands,
        "commands_per_second": round(report.commands / report.replay_seconds)
        if report.replay_seconds
        else None,
        "checks": checks,
    }
