"""`manage.py end_of_day`: closes a day's books with one signed report, or checks such a report.

    manage.py end_of_day                                  close every day that is over and not closed yet
    manage.py end_of_day --day 2026-11-22 --dry-run       what its report would be
    manage.py end_of_day --verify books/2026-11-22/report.json
    manage.py end_of_day --public-key > bank-books.pem    what others check signatures with

A folder a day, below EXCHANGE_BOOKS_FOLDER: `report.json`, `statements/<institution>/<user>.csv`, `statements.sha256`.
"""

from __future__ import annotations

import argparse
import getpass
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import django.db
import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.base.origin import current
from exchange.base.times import rfc3339
from trading.books import checking, closing, late, signing
from trading.books import day as days
from trading.books.exact import exact
from trading.models import EndOfDay
from trading.verify.snapshot import snapshot


class Command(BaseCommand):
    help = (
        "Close days whose books are over: trial balance, figures, ledger checks, a statement for each user who moved "
        "anything, and one signed report. A day is closed once, in order; a second run does nothing. Each run also "
        "says what came into a closed day late. Exit code 0: done, or nothing to do; 1: a day could not be closed, "
        "something came late, or a report is not true; 2: bad usage, no key, or no database."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--day", type=_day, metavar="DATE", help="close this day only, such as 2026-11-22")
        what.add_argument(
            "--verify", type=Path, metavar="FILE", help="check a report: signature, statements, ledger"
        )
        what.add_argument(
            "--public-key", action="store_true", help="print the public key of the signatures as PEM"
        )
        parser.add_argument(
            "--folder",
            type=Path,
            metavar="DIR",
            help="where days are written (default: EXCHANGE_BOOKS_FOLDER)",
        )
        parser.add_argument(
            "--key",
            type=Path,
            metavar="FILE",
            help="with --verify: the public key in PEM (default: this installation's)",
        )
        parser.add_argument(
            "--offline", action="store_true", help="with --verify: the files alone, without the database"
        )
        parser.add_argument("--dry-run", action="store_true", help="work the report out, and write nothing")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    @exact()
    def handle(self, *args: Any, **options: Any) -> None:
        verifying = options["verify"] is not None
        if not verifying and (options["key"] or options["offline"]):
            raise CommandError("--key and --offline belong to --verify", returncode=2)
        try:
            if options["public_key"]:
                self._public_key(options["as_json"])
            elif verifying:
                self._verify(options["verify"], options["key"], options["offline"], options["as_json"])
            else:
                self._close(options["day"], options["folder"], options["dry_run"], options["as_json"])
        except signing.KeyProblem as error:
            raise CommandError(str(error), returncode=2) from error
        except (psycopg.OperationalError, django.db.OperationalError) as error:
            raise CommandError(f"no database: {str(error).splitlines()[0]}", returncode=2) from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}", returncode=2) from error

    # -- closing

    def _close(self, only: date | None, folder: Path | None, dry_run: bool, as_json: bool) -> None:
        key = signing.private_key()
        now = datetime.now(UTC)
        if only is not None and EndOfDay.objects.filter(pk=only).exists():
            wanted = []
        else:
            wanted = [days.bounds(only)] if only is not None else list(days.due(now))
        closed, refused = [], ""
        for bounds in wanted[:1] if dry_run else wanted:  # a second one would stand on the first
            try:
                closed.append(
                    closing.close(
                        bounds,
                        key,
                        by=current().actor or f"command:{getpass.getuser()}",
                        folder=folder or closing.books_folder(),
                        dry_run=dry_run,
                        progress=self._progress,
                    )
                )
            except closing.Refused as error:
                refused = str(error)
                break
        came_late = self._late()
        if as_json:
            self.stdout.write(json.dumps(_document(closed, refused, came_late, dry_run), indent=2))
        else:
            self._print(closed, only, came_late, dry_run)
        if refused:
            raise CommandError(refused, returncode=1)
        if came_late:
            raise SystemExit(1)

    def _late(self) -> list[str]:
        with snapshot() as taken:
            found = late.differences(taken.connection)
            if found:
                for closed in EndOfDay.objects.filter(
                    pk__in={line[4:14] for line in found if line[:4] == "day "}
                ):
                    names = late.transactions(taken.connection, closed)
                    found += [f"day {closed.day}: came after its closing: {name}" for name in names]
        return found

    def _print(
        self, closed: list[closing.Closed], only: date | None, came_late: list[str], dry_run: bool
    ) -> None:
        for each in closed:
            figures = each.report["activity"]
            done = "would be closed" if dry_run else f"closed, {each.folder}"
            self.stdout.write(f"{each.day.day}: {done}")
            self.stdout.write(f"  {figures['orders']} orders, {figures['trades']} trades")
            for total in each.report["totals"]:
                self.stdout.write(f"  {total['asset']}: debit {total['debit']}, credit {total['credit']}")
            self.stdout.write(f"  SHA-256 of the report {each.digest}")
        if not closed and only is not None and EndOfDay.objects.filter(pk=only).exists():
            self.stdout.write(f"{only}: closed already")
        elif not closed and only is None:
            last = days.last_closed()
            self.stdout.write(f"nothing to close; the last closed day is {last.day if last else 'none'}")
        for line in came_late:
            self.stdout.write(f"late: {line}")

    # -- checking

    def _verify(self, path: Path, key_file: Path | None, offline: bool, as_json: bool) -> None:
        key = signing.load_public_key(key_file) if key_file else signing.private_key().public_key()
        report: dict[str, Any] = {}
        try:
            report, found = checking.of_file(path, key)
            if not offline:
                with snapshot() as taken:
                    found += checking.against_ledger(report, taken.connection)
        except signing.Tampered as error:
            found = [str(error)]
        day = report.get("day")
        if as_json:
            self.stdout.write(
                json.dumps({"file": str(path), "day": day, "true": not found, "findings": found}, indent=2)
            )
        else:
            for line in found:
                self.stdout.write(line)
            outcome = (
                "is not what was signed"
                if found
                else "is what was signed" + ("" if offline else ", and still true")
            )
            self.stdout.write(f"{path}: the report {f'of {day} ' if day else ''}{outcome}")
        if found:
            raise SystemExit(1)

    def _public_key(self, as_json: bool) -> None:
        key = signing.private_key().public_key()
        pem = signing.public_pem(key)
        text = (
            json.dumps({"fingerprint": signing.fingerprint(key), "pem": pem}) if as_json else pem.rstrip("\n")
        )
        self.stdout.write(text)

    def _progress(self, what: str) -> None:
        self.stderr.write(f"… {what}")


def _document(
    closed: list[closing.Closed], refused: str, came_late: list[str], dry_run: bool
) -> dict[str, Any]:
    return {
        "closed": [
            {
                "day": each.day.day.isoformat(),
                "until": rfc3339(each.day.until),
                "digest": each.digest,
                "folder": str(each.folder) if each.folder else None,
                **({"report": each.report} if dry_run else {}),
            }
            for each in closed
        ],
        "refused": refused or None,
        "late": came_late,
        "dry_run": dry_run,
    }


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day such as 2026-11-22") from None
