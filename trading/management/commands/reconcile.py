"""`manage.py reconcile`: the ledger against a bank's statement file.

    manage.py reconcile statement.xml --institution demo --asset TRY
    manage.py reconcile october.csv --institution demo --asset TRY --from 2026-10-01 --to 2026-10-31 --json

A CSV file has a head with date, amount and reference; currency, type (CRDT or DBIT) and text are used if they are
there. Amounts are above zero for what came in.

    matched          both sides have it: by reference, or by amount and date
    amount differs   both know the reference, and not the same amount
    date differs     the same reference and amount, further apart than --days
    missing          the ledger has it, the statement does not
    extra            the statement has it, the ledger does not
    duplicate        one side has twice what the other has once
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import django.db
import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.platform.members.models import Institution
from trading.books import reconciling
from trading.books.balance import plain
from trading.books.bank_statement import StatementError, Summary
from trading.books.exact import exact
from trading.books.reconciling import Report, Source
from trading.models import Asset
from trading.verify.snapshot import snapshot

DAYS = 3


class Command(BaseCommand):
    help = (
        "Compare an institution's custody account in the ledger with a bank's statement (CSV, or ISO 20022 camt.053 of "
        "any version), line by line: by reference, else by amount and date. Reads only. Exit code 0: nothing differs; "
        "1: something differs, or the statement does not add up; 2: bad usage, an unreadable file, or no database."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the statement")
        parser.add_argument("--institution", required=True, metavar="CODE", help="whose account it is")
        parser.add_argument(
            "--asset", required=True, metavar="CODE", help="the currency of the account, such as TRY"
        )
        parser.add_argument(
            "--format", choices=["csv", "camt.053"], default="", help="default: what the file looks like"
        )
        parser.add_argument(
            "--account", default="", metavar="ID", help="camt.053: of this account (IBAN) only"
        )
        parser.add_argument(
            "--from", type=_day, dest="since", metavar="DATE", help="first day (default: the file's)"
        )
        parser.add_argument(
            "--to", type=_day, dest="until", metavar="DATE", help="last day (default: the file's)"
        )
        parser.add_argument(
            "--days",
            type=int,
            default=DAYS,
            metavar="N",
            help="how far apart both may date it (default: %(default)s)",
        )
        parser.add_argument(
            "--delimiter", default=",", metavar="C", help="CSV: between fields (default: a comma)"
        )
        parser.add_argument("--decimal-comma", action="store_true", help="CSV: amounts as 1250,00")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    @exact()
    def handle(self, *args: Any, **options: Any) -> None:
        delimiter, comma = options["delimiter"].replace("\\t", "\t"), options["decimal_comma"]
        if len(delimiter) != 1 or (comma and delimiter == ","):
            raise CommandError(
                "--delimiter is one character, and no comma with --decimal-comma", returncode=2
            )
        if not 0 <= options["days"] <= 366:
            raise CommandError("--days is from 0 to 366", returncode=2)
        source = Source(options["file"], options["format"], options["account"], delimiter, comma)
        institution, asset = _institution(options["institution"]), _asset(options["asset"])
        try:
            with snapshot() as taken:
                report = reconciling.reconcile(
                    taken.connection,
                    source,
                    institution,
                    asset,
                    since=options["since"],
                    until=options["until"],
                    days=options["days"],
                    progress=self._progress,
                )
        except StatementError as error:
            raise CommandError(f"{source.path}: {error}", returncode=2) from error
        except OSError as error:
            raise CommandError(f"{source.path}: {error.strerror}", returncode=2) from error
        except (psycopg.OperationalError, django.db.OperationalError) as error:
            raise CommandError(f"no database: {str(error).splitlines()[0]}", returncode=2) from error
        if options["as_json"]:
            self.stdout.write(json.dumps(document(report), indent=2))
        else:
            for line in lines(report):
                self.stdout.write(line)
        if not report.clean:
            raise SystemExit(1)

    def _progress(self, what: str) -> None:
        self.stderr.write(f"… {what}")


def document(report: Report) -> dict[str, Any]:
    return {
        "institution": report.scope.institution.code,
        "asset": report.scope.asset.code,
        "from": report.scope.first.isoformat(),
        "to": report.scope.last.isoformat(),
        "clean": report.clean,
        "matched_by_reference": report.by_reference,
        "matched_by_amount": report.by_amount,
        "ledger_total": plain(report.ledger_total),
        "ledger_balance": plain(report.ledger_balance),
        "statements": [_summary(each) for each in report.summaries],
        "findings": [
            {**each._asdict(), "day": each.day.isoformat(), "amount": plain(each.amount)}
            for each in report.findings
        ],
    }


def lines(report: Report) -> list[str]:
    found = [
        f"{each.kind:<15} {each.day} {plain(each.amount):>20}  {each.where or each.booking}: {each.detail}"
        + (f" [{each.booking}]" if each.where and each.booking else "")
        for each in report.findings
    ]
    for each in report.summaries:
        name = " ".join(filter(None, ["statement", each.account]))
        found.append(
            f"{name}: {each.lines} lines, {plain(each.total)} in all"
            + (f", {each.pending} pending" if each.pending else "")
        )
        if not each.adds_up and each.opening is not None and each.closing is not None:
            found.append(
                f"{name} does not add up: {plain(each.opening)} and {plain(each.total)} are not {plain(each.closing)}"
            )
        elif each.closing is not None:
            found.append(f"{name} ends with {plain(each.closing)}")
    scope = report.scope
    found.append(
        f"the ledger: {plain(report.ledger_total)} in all, {plain(report.ledger_balance)} at the end of {scope.last}"
    )
    outcome = f"{len(report.findings)} differ" if report.findings else "nothing differs"
    matched = f"{report.by_reference} matched by reference, {report.by_amount} by amount and date"
    found.append(
        f"{scope.institution.code} {scope.asset.code}, {scope.first} to {scope.last}: {matched}, {outcome}"
    )
    return found


def _summary(summary: Summary) -> dict[str, Any]:
    return {
        "account": summary.account,
        "lines": summary.lines,
        "pending": summary.pending,
        "opening": None if summary.opening is None else plain(summary.opening),
        "total": plain(summary.total),
        "closing": None if summary.closing is None else plain(summary.closing),
        "adds_up": summary.adds_up,
    }


def _institution(code: str) -> Institution:
    found = Institution.objects.filter(code=code).first()
    if found is None:
        known = ", ".join(Institution.objects.order_by("code").values_list("code", flat=True)) or "none yet"
        raise CommandError(
            f"--institution {code}: there is no such institution (there is: {known})", returncode=2
        )
    return found


def _asset(code: str) -> Asset:
    found = Asset.objects.filter(code=code).first()
    if found is None:
        known = ", ".join(Asset.objects.order_by("code").values_list("code", flat=True)) or "none yet"
        raise CommandError(f"--asset {code}: there is no such asset (there is: {known})", returncode=2)
    return found


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day such as 2026-11-22") from None
