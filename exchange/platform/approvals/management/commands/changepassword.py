"""`manage.py changepassword`: Django's own, for traders alone. With the password of one of the staff, and a new phone,
one person at a shell would be two."""

from __future__ import annotations

import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.core.management.base import CommandError

from exchange.platform.approvals import roles
from exchange.platform.members.models import User


class Command(changepassword.Command):
    help = (
        "Ask for a new password of a trader. Refused for the staff, and for whom a role is asked for: they change it "
        "in the back office, or somebody there who may more sets it. Exit code 0: done; 1: it failed; 2: refused."
    )

    def handle(self, *args: Any, **options: Any) -> str | None:
        email = User.objects.normalize_email(options["username"] or getpass.getuser())
        user = User.objects.filter(email=email).first()
        if user is not None and (user.is_staff or roles.waits(user)):
            raise CommandError(
                f"{email} is of the staff, or is to be: they change it in the back office, or somebody who may more "
                "sets it there",
                returncode=2,
            )
        answer: str | None = super().handle(*args, **{**options, "username": email})
        return answer
