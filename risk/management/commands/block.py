"""`manage.py block`: the kill switch."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.base.ids import uuid7
from exchange.platform.members.models import Institution, User
from risk.pretrade import kill_switch


class Command(BaseCommand):
    help = (
        "Take no more orders of a user or of a whole institution, and cancel what they have open; "
        "--lift takes their orders again. Exit code 0: done; 1: it was so already; 2: bad usage."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        target = parser.add_mutually_exclusive_group(required=True)
        target.add_argument("--user", metavar="EMAIL", help="block this user")
        target.add_argument("--institution", metavar="CODE", help="block all of its users")
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for the record")
        parser.add_argument(
            "--by", metavar="NAME", default="shell", help="who does it, for the record (default: shell)"
        )
        parser.add_argument("--lift", action="store_true", help="end a block instead")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
        parser.add_argument("--dry-run", action="store_true", help="say what would change")

    def handle(
        self,
        *args: Any,
        user: str | None,
        institution: str | None,
        reason: str,
        by: str,
        lift: bool,
        as_json: bool,
        dry_run: bool,
        **options: Any,
    ) -> None:
        target = _user(user) if user else _institution(institution or "")
        blocked = kill_switch.active_block(target) is not None
        changes = blocked if lift else not blocked
        if changes and not dry_run:
            (kill_switch.unblock if lift else kill_switch.block)(
                target, reason=reason, by=by, trace_id=uuid7()
            )
        answer = {
            "target": str(target),
            "blocked": blocked != changes,
            "changed": changes,
            "dry_run": dry_run,
        }
        if as_json:
            self.stdout.write(json.dumps(answer))
        else:
            state = "blocked" if answer["blocked"] else "may place orders"
            now = "already" if not changes else "would be" if dry_run else "now"
            self.stdout.write(f"{target}: {now} {state}")
        if not changes:
            raise SystemExit(1)


def _user(email: str) -> User:
    found = User.objects.filter(email=User.objects.normalize_email(email)).first()
    if found is None:
        raise CommandError(f"there is no user {email}", returncode=2)
    return found


def _institution(code: str) -> Institution:
    found = Institution.objects.filter(code=code).first()
    if found is None:
        known = ", ".join(Institution.objects.values_list("code", flat=True).order_by("code"))
        raise CommandError(f"there is no institution {code!r}; there are: {known}", returncode=2)
    return found
