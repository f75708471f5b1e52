"""`manage.py createsuperuser`: Django's own, for a new installation alone. A superuser passes every check of roles."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.core.management.base import CommandError

from exchange.platform.approvals import roles


class Command(createsuperuser.Command):
    help = (
        "Create a superuser, who passes every check of roles. Refused once there have been two platform admins: then "
        "who is of the staff takes two people, see create_user. `second_factor EMAIL --reset` prints the code with "
        "which they enrol a phone. Exit code 0: done; 1: refused."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if not roles.alone():
            raise CommandError("who is of the staff takes two people: use create_user", returncode=1)
        super().handle(*args, **options)
