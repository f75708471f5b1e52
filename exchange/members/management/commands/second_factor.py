"""`manage.py second_factor`: the phone of somebody of the staff: whether there is one, and forget a lost one."""

from __future__ import annotations

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.env import env
from exchange.members import second_factor
from exchange.members.models import User
from exchange.members.staff_models import STEP


class Command(BaseCommand):
    help = (
        "Say whether somebody of the staff has enrolled a phone for the codes of sign-in. --reset forgets a lost phone "
        "and ends its owner's sessions; a new one is enrolled at the next sign-in. --show prints a code, in demo "
        "mode only. Exit code 0: done; 1: there is no phone; 2: bad usage."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="of somebody of the staff")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--reset", action="store_true", help="forget the phone; is audited")
        what.add_argument("--show", action="store_true", help="a code that is good now; in demo mode only")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print a JSON object")
        parser.add_argument("--dry-run", action="store_true", help="with --reset: say what would change")

    def handle(
        self, *args: Any, email: str, reset: bool, show: bool, as_json: bool, dry_run: bool, **options: Any
    ) -> None:
        user = User.objects.filter(email=User.objects.normalize_email(email), is_staff=True).first()
        if user is None:
            raise CommandError(f"there is nobody of the staff with the e-mail {email}", returncode=2)
        if show and not env.exchange_demo:
            raise CommandError("--show is for demo mode: the code is on the phone", returncode=2)
        answer: dict[str, Any] = {"email": user.email, "enrolled": second_factor.enrolled(user)}
        had_one = answer["enrolled"]
        if reset:
            if not dry_run:
                had_one = second_factor.reset(user) or had_one
            answer |= {"reset": had_one, "dry_run": dry_run, "enrolled": had_one and dry_run}
        if show and not dry_run:
            answer["code"] = _code(user)
        self.stdout.write(json.dumps(answer) if as_json else _line(answer))
        if not had_one and not show:
            raise SystemExit(1)


def _code(user: User) -> str:
    """Of the step that is running, or of the next one if that is used up: both are taken. Else waits for a step.

    It is of the phone, or of the secret that the sign-in shows to who has none yet."""
    device = second_factor.device if second_factor.enrolled(user) else second_factor.enrolling
    while (code := device(user).next_code()) is None:
        time.sleep(STEP - time.time() % STEP)
    return code


def _line(answer: dict[str, Any]) -> str:
    if "code" in answer:
        return str(answer["code"])
    if answer.get("reset"):
        would = "would be forgotten" if answer["dry_run"] else "forgotten, sessions ended"
        return f"{answer['email']}: phone {would}"
    return f"{answer['email']}: {'has a phone' if answer['enrolled'] else 'has no phone yet'}"
