"""`manage.py prepare`: brings the database up to date, in one process, and says so in lines that `up` reads.

Each line is `done STEP` when a step is done, and last `groups NAME …`.
"""

from __future__ import annotations

from io import StringIO
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from exchange.base.env import env


class Command(BaseCommand):
    help = "Migrates, creates partitions ahead, and loads the demo in demo mode."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        self._say("done tables")
        call_command("partitions", verbosity=0)
        self._say("done partitions")
        if env.exchange_demo:
            call_command("demo", verbosity=0)
            self._say("done demo data")
        groups = StringIO()
        call_command("groups", stdout=groups)
        self._say(f"groups {' '.join(groups.getvalue().split())}")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
