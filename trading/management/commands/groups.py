"""`manage.py groups`: the symbol groups, each of which needs one matcher."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from matching.models import SymbolGroup


class Command(BaseCommand):
    help = "Print the names of the symbol groups in order, one a line. Exit code 0: done; 2: bad usage."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print a JSON list")

    def handle(self, *args: Any, as_json: bool, **options: Any) -> None:
        names = list(SymbolGroup.objects.order_by("name").values_list("name", flat=True))
        if as_json:
            self.stdout.write(json.dumps(names))
            return
        for name in names:
            self.stdout.write(name)
