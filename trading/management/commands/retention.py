"""`manage.py retention`: what has been kept long enough goes to archive files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django.db
import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.base.env import env
from exchange.platform.audit.archive_files import Damaged
from trading.retention.archive import Outcome, archive_due
from trading.retention.users import forget_due


class Command(BaseCommand):
    help = (
        "Archive what the rules let go: the audit log after 7 years, orders and trades after 5, as compressed CSV with "
        "a manifest of checksums; and forget what is left of users 10 years after they were closed. A part is "
        "dropped from the database once its file was read again and found to have the same rows. May be killed at any "
        "point and run again. Exit code 0: done; 1: something that is due had to stay; 2: nothing was done."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--folder",
            type=Path,
            help="where the files go (default: EXCHANGE_ARCHIVE, else EXCHANGE_HOME/archive)",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be archived and forgotten")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *args: Any, folder: Path | None, dry_run: bool, as_json: bool, **options: Any) -> None:
        target = folder or env.exchange_archive or env.exchange_home / "archive"
        now = datetime.now(UTC)
        try:
            outcomes = archive_due(target, now, self._progress, dry_run=dry_run)
            users = forget_due(now, self._progress, dry_run=dry_run)
        except (psycopg.OperationalError, django.db.OperationalError) as error:
            raise CommandError(f"ended early: {str(error).splitlines()[0]}", returncode=2) from error
        except (OSError, Damaged) as error:
            raise CommandError(f"cannot archive to {target}: {error}", returncode=2) from error
        self._print(outcomes, users, target, dry_run=dry_run, as_json=as_json)
        if any(outcome.kept for outcome in outcomes):
            raise SystemExit(1)

    def _print(
        self, outcomes: list[Outcome], users: list[str], folder: Path, *, dry_run: bool, as_json: bool
    ) -> None:
        if as_json:
            document = {
                "folder": str(folder),
                "dry_run": dry_run,
                "archived": [each._asdict() for each in outcomes if not each.kept],
                "kept": [each._asdict() for each in outcomes if each.kept],
                "users_forgotten": users,
            }
            self.stdout.write(json.dumps(document, indent=2))
            return
        done = "would be archived" if dry_run else "archived"
        for each in outcomes:
            self.stdout.write(
                f"{each.name:<32} {each.rows:>12,} rows  {f'kept: {each.kept}' if each.kept else done}"
            )
        for user in users:
            self.stdout.write(f"user {user}: {'would be forgotten' if dry_run else 'forgotten'}")
        if not outcomes and not users:
            self.stdout.write("nothing is due")

    def _progress(self, what: str) -> None:
        self.stderr.write(f"… {what}")
