"""`manage.py status`: the exchange on one screen.

manage.py status
watch -n 5 manage.py status
"""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from exchange.operations.status_overview import lines, overview


class Command(BaseCommand):
    help = (
        "What runs, how far each group is, restricted markets, blocks, outbox, queues, cases, approvals, price "
        "sources, partitions and the last closed day. Reads only. Exit code 0: all is well; 1: something is "
        "wrong, which the lines WRONG say; 2: bad usage."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *args: Any, as_json: bool, **options: Any) -> None:
        found = overview()
        if as_json:
            self.stdout.write(json.dumps(found.as_document(), indent=2))
        else:
            self.stdout.write("\n".join(lines(found)))
        if found.problems:
            raise SystemExit(1)
