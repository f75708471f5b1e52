"""`manage.py loaddata`: Django's own is refused. It writes rows past every check: a role, a superuser, a balance."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import loaddata


class Command(loaddata.Command):
    help = (
        "Refused: it would write rows that take two people, such as a role. Reference data is imported in the back "
        "office, users are made by create_user. Exit code 2: always."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(
            "loaddata writes past every check and second person: import reference data in the back office, "
            "make users by create_user",
            returncode=2,
        )
