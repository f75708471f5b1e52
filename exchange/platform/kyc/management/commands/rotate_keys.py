"""`manage.py rotate_keys`: seal all personal data again with the first key of EXCHANGE_DATA_KEYS."""

from __future__ import annotations

import json
from typing import Any

import django.db
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from exchange.base import encryption, key_rotation
from exchange.base.ids import uuid7
from exchange.base.key_rotation import Outcome
from exchange.platform.audit.log import record


class Command(BaseCommand):
    help = (
        "Seal all personal data anew with the first key of EXCHANGE_DATA_KEYS, batch by batch; may be killed and run"
        " again. Put the new key first, restart every process, run this, then take the old key away. Exit code 0: all"
        " is under that key (with --dry-run: all can be read); 1: something does not open; 2: nothing was done."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="read everything, write nothing")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *args: Any, dry_run: bool, as_json: bool, **options: Any) -> None:
        try:
            outcomes = list(key_rotation.rotate(self._progress, dry_run=dry_run))
            if not dry_run:
                self._record(outcomes)
        except django.db.Error as error:
            raise CommandError(f"it was not finished: {str(error).splitlines()[0]}", returncode=2) from error
        self._print(outcomes, as_json=as_json, dry_run=dry_run)
        if any(each.unreadable for each in outcomes):
            raise SystemExit(1)

    def _record(self, outcomes: list[Outcome]) -> None:
        with transaction.atomic():
            record(
                action="ROTATE_KEYS",
                resource="data keys",
                new={"key": encryption.writing_key()}
                | {each.place: each.old - each.unreadable for each in outcomes},
                trace_id=uuid7(),
            )

    def _print(self, outcomes: list[Outcome], *, as_json: bool, dry_run: bool) -> None:
        if as_json:
            document = {
                "key": encryption.writing_key(),
                "dry_run": dry_run,
                "columns": [each._asdict() for each in outcomes],
            }
            self.stdout.write(json.dumps(document, indent=2))
            return
        did = "would be sealed anew" if dry_run else "sealed anew"
        for each in outcomes:
            line = f"{each.place:<45} {each.values:>9,} values, {each.old - each.unreadable:,} {did}"
            self.stdout.write(line)
            if each.unreadable:
                self.stdout.write(f"  {each.unreadable:,} do not open; the first: {each.first_unreadable}")
        self.stdout.write(f"key {encryption.writing_key()} writes")

    def _progress(self, what: str) -> None:
        self.stderr.write(f"… {what}")
