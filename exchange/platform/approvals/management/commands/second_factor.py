"""`manage.py second_factor`: the phone of somebody of the staff: whether there is one, and forget a lost one."""

from __future__ import annotations

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.platform.approvals import command_line, roles
from exchange.platform.approvals.requests import Refused
from exchange.platform.members import demo_mode, second_factor
from exchange.platform.members.models import User
from exchange.platform.members.staff_models import STEP


class Command(BaseCommand):
    help = (
        "Say whether somebody of the staff has enrolled a phone for the codes of sign-in. --reset forgets a lost "
        "phone, ends its owner's sessions and prints the code with which they enrol another, or their first, at the "
        "next sign-in; somebody else who approves roles stands for them with --by and --code, wherever there is one. "
        "--show prints a code, in a demo only. Exit code 0: done; 1: there is no phone, or it was refused; 2: bad "
        "usage."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="of somebody of the staff")
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--reset",
            action="store_true",
            help="forget the phone, if any, and print an enrolment code; is audited",
        )
        what.add_argument("--show", action="store_true", help="a code that is good now; in a demo only")
        command_line.add_arguments(parser, required=False)
        parser.add_argument("--json", action="store_true", dest="as_json", help="print a JSON object")
        parser.add_argument("--dry-run", action="store_true", help="with --reset: say what would change")

    def handle(
        self, *args: Any, email: str, reset: bool, show: bool, as_json: bool, dry_run: bool, **options: Any
    ) -> None:
        user = User.objects.filter(email=User.objects.normalize_email(email), is_staff=True).first()
        if user is None:
            raise CommandError(f"there is nobody of the staff with the e-mail {email}", returncode=2)
        if show and not demo_mode.is_demo():
            raise CommandError("--show is for demo mode: the code is on the phone", returncode=2)
        answer: dict[str, Any] = {"email": user.email, "enrolled": second_factor.enrolled(user)}
        if reset:
            by = _witness(user, {**options, "dry_run": dry_run})
            answer |= {"reset": answer["enrolled"], "dry_run": dry_run}
            if not dry_run:
                answer |= {"enrolment_code": second_factor.reset(user, by=by), "enrolled": False}
        if show and not dry_run:
            answer["code"] = _code(user)
        self.stdout.write(json.dumps(answer) if as_json else "\n".join(_lines(answer)))
        if not (answer["enrolled"] or reset or show):
            raise SystemExit(1)


def _witness(user: User, options: dict[str, Any]) -> User | None:
    """Who stands for `user`; None in a demo, and where no one could. Raises CommandError."""
    witnesses = roles.witnesses(user)
    if demo_mode.is_demo() or not witnesses.exists():
        return None
    if not options["by"]:
        raise CommandError("--reset takes --by and --code: somebody else stands for them", returncode=2)
    by = command_line.person(options)
    if not witnesses.filter(pk=by.pk).exists():
        raise CommandError(f"--by {by}: must be somebody else, who approves roles there", returncode=2)
    try:
        roles.check_stranger(user, by)
    except Refused as error:
        raise CommandError(str(error), returncode=1) from error
    return by


def _code(user: User) -> str:
    """Of the step that is running, or of the next one if that is used up: both are taken. Else waits for a step.

    It is of the phone, or of the secret that the sign-in shows to who has none yet."""
    device = second_factor.device if second_factor.enrolled(user) else second_factor.enrolling
    while (code := device(user).next_code()) is None:
        time.sleep(STEP - time.time() % STEP)
    return code


def _lines(answer: dict[str, Any]) -> list[str]:
    if "code" in answer:
        return [str(answer["code"])]
    if "reset" not in answer:
        return [f"{answer['email']}: {'has a phone' if answer['enrolled'] else 'has no phone yet'}"]
    would = "would be " if answer["dry_run"] else ""
    done = f"phone {would}forgotten, sessions {would}ended" if answer["reset"] else "had no phone"
    lines = [f"{answer['email']}: {done}"]
    if "enrolment_code" in answer:
        lines.append(f"enrolment code: {answer['enrolment_code']}")
    return lines
