"""`manage.py create_user`: a new trader, or somebody new of the staff, whom a second person lets in."""

from __future__ import annotations

import json
import secrets
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction

from exchange.platform.approvals import command_line, new_users
from exchange.platform.approvals.requests import ApprovalError
from exchange.platform.members.models import Institution, Role, User


class Command(BaseCommand):
    help = (
        "Create a user and print a password for them, once. A trader may sign in at once; one of the staff after a "
        "second person has approved it in the back office, who is shown the code for enrolling a phone (the first "
        "two platform admins at once, as there is nobody to ask yet: their code is printed). Exit code 0: done or "
        "asked for; 1: refused; 2: bad usage, or a wrong code."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="who it is, and how they sign in")
        parser.add_argument("--role", choices=Role.values, default=Role.TRADER.value, help="default: TRADER")
        parser.add_argument("--institution", metavar="CODE", help="whose; none: staff of the platform")
        parser.add_argument("--reason", help="why, for the second person and the record; for the staff")
        command_line.add_arguments(parser, required=False)
        parser.add_argument("--json", action="store_true", dest="as_json", help="print a JSON document")
        parser.add_argument("--dry-run", action="store_true", help="check everything, create nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        email, role = _free(options["email"]), Role(options["role"])
        institution = _institution(options["institution"])
        at_once = new_users.at_once(role)
        if not at_once and not (options["by"] and options["reason"]):
            raise CommandError(
                "a new colleague takes --by, --code and --reason: somebody asks for them", returncode=2
            )
        by = None if at_once else command_line.person(options)
        password = secrets.token_urlsafe(12)
        try:
            with transaction.atomic():
                joined = new_users.join(
                    email, password, role=role, institution=institution, by=by, reason=options["reason"] or ""
                )
                transaction.set_rollback(options["dry_run"])
        except ApprovalError as error:
            raise CommandError(str(error), returncode=1) from error
        answer = {
            "email": email,
            "role": role.value,
            "institution": options["institution"],
            "active": joined.user.is_active,
            "approval": str(joined.approval.pk) if joined.approval else None,
            "dry_run": options["dry_run"],
        }
        if not options["dry_run"]:
            answer |= {"id": str(joined.user.pk), "password": password}
        if not options["dry_run"] and joined.code:
            answer["enrolment_code"] = joined.code
        self._print(answer, as_json=options["as_json"])

    def _print(self, answer: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(answer))
            return
        would = "would be " if answer["dry_run"] else ""
        self.stdout.write(f"{answer['email']} {would}created as {answer['role']}")
        if not answer["dry_run"]:
            self.stdout.write(f"password: {answer['password']}")
        if "enrolment_code" in answer:
            self.stdout.write(f"enrolment code: {answer['enrolment_code']}")
        if not answer["dry_run"] and answer["approval"]:
            self.stdout.write(f"may sign in once approval {answer['approval']} is given, in the back office")


def _free(email: str) -> str:
    try:
        validate_email(email)
    except ValidationError:
        raise CommandError(f"{email!r} is not an e-mail address", returncode=2) from None
    wanted = User.objects.normalize_email(email)
    if User.objects.filter(email=wanted).exists():
        raise CommandError(f"there is already a user {wanted}", returncode=1)
    return wanted


def _institution(code: str | None) -> Institution | None:
    if code is None:
        return None
    found = Institution.objects.filter(code=code).first()
    if found is None:
        known = ", ".join(Institution.objects.order_by("code").values_list("code", flat=True)) or "none yet"
        raise CommandError(f"there is no institution {code!r}; there are: {known}", returncode=2)
    return found
