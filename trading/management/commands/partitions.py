"""`manage.py partitions`: create the partitions of the coming time."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.base import partitions
from trading.models.partitions import TABLES

MOST_AHEAD = 400


class Command(BaseCommand):
    help = (
        "Create the partitions of the coming time, which Celery does too. Exit code 0: done; 1: rows sit in a default "
        "partition, which is to be emptied by hand; 2: bad usage."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--ahead", type=int, metavar="N", help="how far (default: 3 days, 1 month, 1 block of ids)"
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
        parser.add_argument("--dry-run", action="store_true", help="say what would be created")

    def handle(self, *args: Any, ahead: int | None, as_json: bool, dry_run: bool, **options: Any) -> None:
        if ahead is not None and not 0 <= ahead <= MOST_AHEAD:
            raise CommandError(f"--ahead is from 0 to {MOST_AHEAD}", returncode=2)
        created = partitions.ensure(TABLES, ahead=ahead, dry_run=dry_run)
        misplaced = partitions.misplaced(TABLES)
        if as_json:
            self.stdout.write(json.dumps({"created": created, "misplaced": misplaced, "dry_run": dry_run}))
        else:
            for name in created:
                self.stdout.write(f"{'would create' if dry_run else 'created'} {name}")
            for table, rows in misplaced.items():
                self.stdout.write(self.style.WARNING(f"{table}: {rows} rows in the default partition"))
        if misplaced:
            raise SystemExit(1)
