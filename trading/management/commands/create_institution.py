"""`manage.py create_institution CODE --name NAME`: a bank or broker whose customers trade here."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from trading.management.creating_command import EXIT_CODES, CreatingCommand
from trading.management.market_command import shell_user
from trading.reference import listing


class Command(CreatingCommand):
    help = (
        "Create an institution. Its users pay no fees until a fee schedule of theirs is approved, and its staff are "
        "made by `create_user`. " + EXIT_CODES
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("code", help="short name used in commands, such as demo")
        parser.add_argument("--name", required=True, help="as people read it")
        parser.add_argument(
            "--host", action="append", default=[], help="host name of its own pages; may be repeated"
        )
        super().add_arguments(parser)

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        institution = listing.create_institution(
            code=options["code"],
            name=options["name"],
            hosts=options["host"],
            by=shell_user(),
        )
        return {"institution": institution.code, "id": str(institution.pk), "name": institution.name}
