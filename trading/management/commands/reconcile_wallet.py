"""`manage.py reconcile_wallet`: with WALLET=http, our reservations against those of the bank's wallet service."""

from __future__ import annotations

import json
from typing import Any

import django.db
import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.base.database import own_connection
from exchange.base.env import env
from trading.wallet.client import WalletUnavailable, wallet
from trading.wallet.reconcile import GRACE, Report, reconcile


class Command(BaseCommand):
    help = (
        "Compare what is reserved at the bank's wallet service with what our orders need: nothing may be held "
        "twice or forgotten. Exit code 0: nothing differs, or it was repaired; 1: something differs; 2: nothing "
        "was compared."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
        parser.add_argument("--all", action="store_true", dest="everything", help="finished ones too")
        parser.add_argument(
            "--grace", type=float, default=GRACE, metavar="S", help="seconds a thing may be on its way (60)"
        )
        parser.add_argument("--repair", action="store_true", help="have what is forgotten there released")
        parser.add_argument("--dry-run", action="store_true", help="with --repair: only say what would be")

    def handle(
        self,
        *args: Any,
        as_json: bool,
        everything: bool,
        grace: float,
        repair: bool,
        dry_run: bool,
        **options: Any,
    ) -> None:
        if env.wallet != "http":
            raise CommandError("nothing was compared: WALLET is not http", returncode=2)
        if grace < 0 or (dry_run and not repair):
            raise CommandError("--grace must not be below 0, and --dry-run belongs to --repair", returncode=2)
        try:
            report = reconcile(
                own_connection(),
                wallet(),
                self._progress,
                everything=everything,
                patience=grace,
                repair=repair and not dry_run,
            )
        except (psycopg.Error, django.db.Error, WalletUnavailable) as error:
            raise CommandError(f"nothing was compared: {str(error).splitlines()[0]}", returncode=2) from error
        self._print(report, as_json=as_json, dry_run=dry_run)
        if not report.clean:
            raise SystemExit(1)

    def _print(self, report: Report, *, as_json: bool, dry_run: bool) -> None:
        if as_json:
            findings = [finding._asdict() for finding in report.findings]
            document = {
                "compared": report.compared,
                "clean": report.clean,
                "findings": findings,
                "repaired": report.repaired,
            }
            self.stdout.write(json.dumps(document, indent=2))
            return
        for finding in report.findings:
            self.stdout.write(f"{finding.kind:<10} {finding.reservation}  {finding.detail}")
            if finding.reservation in report.repaired:
                self.stdout.write(f"{'':<10} is to be released")
            elif dry_run and finding.kind == "forgotten":
                self.stdout.write(f"{'':<10} would be released")
        outcome = "nothing differs" if not report.findings else f"{len(report.findings)} differ"
        if report.repaired:
            outcome += f", {len(report.repaired)} are to be released"
        self.stdout.write(f"{report.compared} reservations compared: {outcome}")

    def _progress(self, what: str) -> None:
        self.stderr.write(f"… {what}")
