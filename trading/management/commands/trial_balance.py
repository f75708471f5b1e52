"""`manage.py trial_balance`: what stood on the accounts at a moment, debit and credit.

manage.py trial_balance
manage.py trial_balance --at 2026-11-22T00:00:00Z --csv
"""

from __future__ import annotations

import argparse
import csv
import json
from datetime import UTC, datetime
from typing import Any

import django.db
import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.base.times import rfc3339
from trading.books import balance
from trading.books.balance import Line, Total
from trading.books.exact import exact
from trading.verify.snapshot import snapshot


class Command(BaseCommand):
    help = (
        "The trial balance of now or of any past moment: debit and credit by asset, institution and kind of account, "
        "added up from the ledger's postings alone. For now it is compared with the accounts' own balances too. Exit "
        "code 0: debits equal credits; 1: they do not, or accounts say other than their postings; 2: bad usage, or no "
        "database."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--at",
            type=moment,
            metavar="TIME",
            help="what was posted before it, such as 2026-11-22T00:00:00Z; without an offset it is UTC (default: now)",
        )
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
        form.add_argument("--csv", action="store_true", dest="as_csv", help="print CSV")

    @exact()
    def handle(self, *args: Any, at: datetime | None, as_json: bool, as_csv: bool, **options: Any) -> None:
        try:
            with snapshot() as taken:
                if at is not None and at > taken.taken_at:
                    raise CommandError(f"--at {rfc3339(at)}: that is still to come", returncode=2)
                until = at or taken.taken_at
                lines = balance.lines(taken.connection, until)
                differing = [] if at else balance.differences(lines, balance.kept(taken.connection))
        except (psycopg.OperationalError, django.db.OperationalError) as error:
            raise CommandError(f"no database: {str(error).splitlines()[0]}", returncode=2) from error
        totals = balance.totals(lines)
        balanced = all(total.balanced for total in totals)
        if as_json:
            document = {
                "at": rfc3339(until, "microseconds"),
                "balanced": balanced,
                "lines": [balance.as_row(line) for line in lines],
                "totals": [balance.as_total(total) for total in totals],
                "differences": differing,
            }
            self.stdout.write(json.dumps(document, indent=2))
        elif as_csv:
            self._csv(lines)
        else:
            self._table(until, lines, totals)
        for line in differing:
            self.stderr.write(line)
        if not balanced or differing:
            raise SystemExit(1)

    def _csv(self, lines: list[Line]) -> None:
        rows = [balance.as_row(line) for line in lines]
        head = ["asset", "institution", "kind", "accounts", "postings", "debit", "credit"]
        table = csv.DictWriter(self.stdout, head, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)

    def _table(self, until: datetime, lines: list[Line], totals: list[Total]) -> None:
        self.stdout.write(f"Trial balance at {rfc3339(until, 'seconds')}")
        for total in totals:
            self.stdout.write(f"\n{total.asset:<44} {'debit':>28} {'credit':>28}")
            for line in (each for each in lines if each.asset == total.asset):
                row = balance.as_row(line)
                name = f"  {line.institution} {line.kind} ({line.accounts} accounts)"
                self.stdout.write(f"{name:<44} {_shown(row['debit'])} {_shown(row['credit'])}")
            row = balance.as_total(total)
            outcome = "" if total.balanced else "   NOT EQUAL"
            self.stdout.write(f"{'  in all':<44} {row['debit']:>28} {row['credit']:>28}{outcome}")
        if not lines:
            self.stdout.write("nothing was posted by then")


def moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-11-22T00:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _shown(amount: str) -> str:
    return f"{'' if amount == '0' else amount:>28}"
