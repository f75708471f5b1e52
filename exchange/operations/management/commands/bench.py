"""`manage.py bench`: see exchange/bench/, which manage.py calls before it reads the settings."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from exchange.bench import main


class Command(BaseCommand):
    help = "Measures speed and memory of an installation of its own. Exit code 1 if a target was missed."

    def add_arguments(self, parser: CommandParser) -> None:
        main.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(main.run(argparse.Namespace(**options), self.stdout.write))
