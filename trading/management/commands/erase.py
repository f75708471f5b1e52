"""`manage.py erase`: close an account and forget whose it was."""

from __future__ import annotations

import json
from typing import Any

import django.db
from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.base.ids import uuid7
from exchange.platform.members.models import User
from trading.retention import erasure


class Command(BaseCommand):
    help = (
        "Close a trader's account for good and erase their personal data: e-mail, phone, identity, devices,"
        " notifications, API keys, where payments went. Orders, trades, the ledger and the audit log stay and name"
        " nobody. Refused while there are funds, open orders or payments, or a case under way. Cannot be undone. Exit"
        " code 0: done (with --dry-run: it could be); 1: something must be settled first; 2: nothing was done."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="the user's e-mail")
        parser.add_argument(
            "--reason", required=True, help="for the record: who asked, by which law; name nobody"
        )
        parser.add_argument(
            "--close-only",
            action="store_true",
            help="close the account and keep the data: `retention` forgets it ten years later",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="say what there is and what stands against it"
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(
        self,
        *args: Any,
        email: str,
        reason: str,
        close_only: bool,
        dry_run: bool,
        as_json: bool,
        **options: Any,
    ) -> None:
        if not reason.strip():
            raise CommandError("--reason: say why, for the record", returncode=2)
        user = User.objects.filter(email=User.objects.normalize_email(email)).first()
        if user is None:
            raise CommandError(f"there is no user {email}", returncode=2)
        refused: list[str] = []
        found: dict[str, int] = {}
        try:
            if dry_run:
                refused, found = erasure.obstacles(user), {} if close_only else erasure.holdings(user)
            elif close_only:
                erasure.close(user, reason=reason.strip(), trace_id=uuid7())
            else:
                found = erasure.erase(user, reason=reason.strip(), trace_id=uuid7())
        except erasure.Refused as error:
            refused = error.reasons
        except django.db.Error as error:
            raise CommandError(f"nothing was done: {str(error).splitlines()[0]}", returncode=2) from error
        what = "closed" if close_only else "erased"
        self._print(str(user.pk), what, found, refused, dry_run=dry_run, as_json=as_json)
        if refused:
            raise SystemExit(1)

    def _print(
        self,
        user_id: str,
        what: str,
        found: dict[str, int],
        refused: list[str],
        *,
        dry_run: bool,
        as_json: bool,
    ) -> None:
        if as_json:
            document = {
                "user_id": user_id,
                what: not (dry_run or refused),
                "dry_run": dry_run,
                "refused": refused,
                "rows": found,
            }
            self.stdout.write(json.dumps(document, indent=2))
            return
        for reason in refused:
            self.stdout.write(f"not possible: {reason}")
        for name, count in found.items():
            if count:
                self.stdout.write(f"{name:<20} {count:>7,}")
        done = f"not {what}" if refused else f"would be {what}" if dry_run else what
        self.stdout.write(f"user {user_id}: {done}")
