"""Closes a day: figures of one moment of the ledger, checks, statements, and one signed report of it all.

    load the key → one closer at a time → nothing from before midnight still under way → one snapshot: figures, checks,
    statements → folder in place → the rows that say it is closed

A day is closed once. What was written before a crash is written again, because only the row closes a day. The report
carries the digest of the day before, so that reports form a chain as the audit log does.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from django.db import transaction

from exchange.base.database import connect
from exchange.base.env import env
from exchange.base.times import rfc3339
from exchange.platform.audit import log as audit
from exchange.platform.members.models import Institution
from trading.books import activity, balance, late, signing, statements
from trading.books.balance import ZERO, Line, plain
from trading.books.day import GRACE, Bounds, last_closed
from trading.models import Asset, DayTotal, EndOfDay
from trading.verify import check, guards
from trading.verify.check import Finding
from trading.verify.snapshot import Snapshot, snapshot

Progress = Callable[[str], None]
REPORT = "report.json"
MOST_LATE = (
    100  # differences of earlier days that a report names; they do not keep this one from being closed
)
_LOCK = "SELECT pg_try_advisory_lock(hashtext('end of day'), hashtext(current_database()))"
_UNDER_WAY = """
    SELECT min(xact_start) FROM pg_stat_activity
     WHERE backend_xid IS NOT NULL AND xact_start < %s AND datname = current_database()"""


class Refused(Exception):
    """The day is not closed; says why."""


@dataclass(frozen=True, slots=True)
class Closed:
    """`document` is the signed report; `folder` where it is, None for a dry run."""

    day: Bounds
    document: dict[str, Any]
    digest: str
    folder: Path | None

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document["report"]
        return found


def books_folder() -> Path:
    return env.exchange_books_folder or env.exchange_home / "books"


def close(
    day: Bounds, key: signing.PrivateKey, *, by: str, folder: Path, dry_run: bool, progress: Progress
) -> Closed:
    """Raises Refused, psycopg.OperationalError, OSError."""
    with _alone() as connection:
        _check_turn(day)
        _check_nothing_under_way(connection, day)
        partial = folder / f".{day.day.isoformat()}.partial"
        with snapshot() as taken:
            if not day.over(taken.taken_at):
                raise Refused(
                    f"{day.day} is not over: it may be closed from {rfc3339(day.until + GRACE, 'seconds')}"
                )
            trial = balance.lines(taken.connection, day.until)
            moved = balance.lines(taken.connection, day.until, day.since)
            report = _report(taken, day, trial, moved, by, progress)
            ((seen,),) = taken.connection.execute("SELECT pg_current_snapshot()::text")
            if not dry_run:
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True, mode=0o700)  # statements are for few eyes
                progress("statements")
                written = statements.write(taken.connection, day, partial, progress)
                report["statements"] = {"files": written.files, "manifest": written.manifest}
        document, digest = signing.sign(report, key), signing.digest(report)
        if dry_run:
            return Closed(day, document, digest, None)
        (partial / REPORT).write_text(signing.as_file(document), encoding="utf-8")
        target = folder / day.day.isoformat()
        _set_aside(target, taken.taken_at)
        partial.rename(target)
        _record(day, trial, moved, document, digest, taken.taken_at, by, seen)
        return Closed(day, document, digest, target)


def _set_aside(target: Path, now: datetime) -> None:
    """Of a run that died before it closed the day, or from before a restore: a signed report is kept."""
    if (target / REPORT).exists():
        target.rename(target.with_name(f"{target.name}.before-{rfc3339(now).replace(':', '')}"))
    else:
        shutil.rmtree(target, ignore_errors=True)


@contextmanager
def _alone() -> Iterator[psycopg.Connection[Any]]:
    """No other process closes a day meanwhile. PostgreSQL gives the lock back when the connection ends."""
    with connect("exchange end_of_day") as connection:
        ((got,),) = connection.execute(_LOCK)
        if not got:
            raise Refused("somebody else is closing a day right now")
        yield connection


def _check_turn(day: Bounds) -> None:
    last = last_closed()
    if last is None:
        return
    if day.day <= last.day:
        raise Refused(f"{day.day} is closed, or was left out when {last.day} was closed")
    if day.since != last.ends_at:
        raise Refused(
            f"{day.day} does not follow {last.day}, which ended at {rfc3339(last.ends_at, 'seconds')}"
        )


def _check_nothing_under_way(connection: psycopg.Connection[Any], day: Bounds) -> None:
    """What began before the day's end may still post into it. Asked before the snapshot is taken, so that whatever
    had begun by then is either in it or seen here."""
    ((since,),) = connection.execute(_UNDER_WAY, (day.until,))
    if since is not None:
        raise Refused(
            f"a transaction that began at {rfc3339(since)} is still open: it may post into {day.day}"
        )


def _report(
    taken: Snapshot, day: Bounds, trial: list[Line], moved: list[Line], by: str, progress: Progress
) -> dict[str, Any]:
    """Raises Refused for books that are not in order: those are not signed."""
    totals = balance.totals(trial)
    wrong = [f"{total.asset}: debit {plain(total.debit)}, credit {plain(total.credit)}" for total in totals
             if not total.balanced]  # fmt: skip
    found = list(_checks(taken, progress))
    wrong += [f"{one.rule.name}: {one.breaches} of them; the first: {one.first}" for one in found
              if one.result == "breach"]  # fmt: skip
    if wrong:
        raise Refused(f"the books of {day.day} are not in order: {'; '.join(wrong)}")
    progress("figures")
    last = last_closed()
    return {
        "kind": "end-of-day",
        "version": 1,
        "day": day.day.isoformat(),
        "zone": env.exchange_day_zone,
        "since": rfc3339(day.since),
        "until": rfc3339(day.until),
        "closed_at": rfc3339(taken.taken_at, "microseconds"),
        "closed_by": by,
        "previous": {"day": last.day.isoformat(), "digest": last.digest} if last else None,
        "trial_balance": [balance.as_row(line) for line in trial],
        "totals": [balance.as_total(total) for total in totals],
        "moved": [
            {
                "asset": line.asset,
                "institution": line.institution,
                "kind": line.kind,
                "postings": int(line.postings),
                "debits": plain(line.debits),
                "credits": plain(line.credits),
            }
            for line in moved
        ],
        "activity": activity.figures(taken.connection, day, moved),
        "audit": activity.audit_heads(taken.connection),
        "checks": [
            {"name": one.rule.name, "says": one.rule.says, "looked_at": one.count, "result": one.result}
            for one in found
        ],
        "late": late.differences(taken.connection)[:MOST_LATE],
        "statements": None,
    }


def _checks(taken: Snapshot, progress: Progress) -> Iterator[Finding]:
    """What `verify` says of the ledger and its guards."""
    for name in ("database", "ledger"):
        yield from check.run(taken.connection, check.load(name), progress)
    yield from check.run(taken.connection, guards.checks(), progress)


def _record(
    day: Bounds,
    trial: list[Line],
    moved: list[Line],
    document: dict[str, Any],
    digest: str,
    closed_at: datetime,
    by: str,
    seen: str,
) -> None:
    institutions = dict(Institution.objects.values_list("code", "pk"))
    assets = dict(Asset.objects.values_list("code", "pk"))
    of_day = {line.key: line for line in moved}
    with transaction.atomic():
        row = EndOfDay.objects.create(
            day=day.day,
            starts_at=day.since,
            ends_at=day.until,
            closed_at=closed_at,
            closed_by=by,
            snapshot=seen,
            digest=digest,
            document=signing.as_file(document),
        )
        DayTotal.objects.bulk_create(
            DayTotal(
                day=row,
                institution_id=institutions[line.institution],
                kind=line.kind,
                asset_id=assets[line.asset],
                postings=of_day[line.key].postings if line.key in of_day else 0,
                debits=of_day[line.key].debits if line.key in of_day else ZERO,
                credits=of_day[line.key].credits if line.key in of_day else ZERO,
                balance=line.balance,
            )
            for line in trial
        )
        audit.record(
            action="day.closed",
            resource=f"day/{day.day.isoformat()}",
            new={"digest": digest, "closed_by": by, "statements": document["report"]["statements"]["files"]},
        )
