"""`manage.py create_group NAME`: a symbol group, whose markets a matcher of its own matches."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from trading.management.creating_command import EXIT_CODES, CreatingCommand
from trading.management.market_command import shell_user
from trading.reference import listing


class Command(CreatingCommand):
    help = (
        "Create a symbol group. It needs a matcher: start `manage.py matcher --group NAME`, unless all runs under "
        "`manage.py up`, which starts one by itself. " + EXIT_CODES
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="letters, digits and hyphens; cannot change")
        super().add_arguments(parser)

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"group": listing.create_group(name=options["name"], by=shell_user()).name}
