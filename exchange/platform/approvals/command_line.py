"""Who asks from a shell: named by e-mail, proved by a code of their second factor."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from exchange.platform.members import second_factor
from exchange.platform.members.models import User


def add_arguments(parser: CommandParser, *, required: bool = True) -> None:
    parser.add_argument("--by", metavar="EMAIL", required=required, help="who asks: one of the staff")
    parser.add_argument("--code", help="a code of their second factor that is good now; not for --dry-run")


def person(options: dict[str, Any]) -> User:
    """Raises CommandError. A dry run uses no code up."""
    email = options["by"] or ""
    found = User.objects.filter(email=User.objects.normalize_email(email), is_staff=True).first()
    if found is None or not found.is_active:
        raise CommandError(f"--by {email}: must be one of the staff, by e-mail", returncode=2)
    if options["dry_run"]:
        return found
    if not options["code"]:
        raise CommandError("--code: give a code of your second factor", returncode=2)
    if not second_factor.confirm(found, options["code"]):
        raise CommandError("--code: not a code that is good now, or it was used already", returncode=2)
    return found
