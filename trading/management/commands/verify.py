"""`manage.py verify`: check every invariant on a live system."""

from __future__ import annotations

import json
from typing import Any

import django.db
import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser

from trading.verify import report


class Command(BaseCommand):
    help = (
        "Check every invariant on a live system, in one moment of it, and print a table. Writes nothing. "
        "Exit code 0: all hold; 1: one is broken; 2: nothing was checked."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="print JSON instead of the table"
        )
        parser.add_argument(
            "--replay", action="store_true", help="replay the journal too, and compare trades and books"
        )

    def handle(self, *args: Any, as_json: bool, replay: bool, **options: Any) -> None:
        try:
            result = report.run(self._progress, replay=replay)
        except (psycopg.OperationalError, django.db.OperationalError) as error:
            raise CommandError(f"nothing was checked: {str(error).splitlines()[0]}", returncode=2) from error
        if as_json:
            self.stdout.write(json.dumps(report.as_document(result), indent=2))
        else:
            for line in report.as_table(result):
                self.stdout.write(line)
        if not result.clean:
            raise SystemExit(1)

    def _progress(self, what: str) -> None:
        self.stderr.write(f"… {what}")
