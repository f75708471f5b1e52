"""`manage.py roles`: who may do what in the back office."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from exchange.platform.members import roles_page
from exchange.platform.members.roles import GRANTS


class Command(BaseCommand):
    help = "Print which role may do what in the back office, as docs/roles.md has it. Exit code 0."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="a list of permissions for each role"
        )

    def handle(self, *args: Any, as_json: bool, **options: Any) -> None:
        if as_json:
            self.stdout.write(json.dumps({role: sorted(names) for role, names in GRANTS.items()}))
        else:
            self.stdout.write(roles_page.page(), ending="")
