"""`manage.py dumpdata`: Django's own is refused. It prints what is sealed in the database: secrets of phones and API
keys, identity numbers."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import dumpdata


class Command(dumpdata.Command):
    help = (
        "Refused: it would print secrets in plain, such as those of the staff's phones. `export` writes lists; for a "
        "copy of everything use PostgreSQL's own tools. Exit code 2: always."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(
            "dumpdata prints in plain what the database keeps sealed: use `export`, or PostgreSQL's own tools",
            returncode=2,
        )
