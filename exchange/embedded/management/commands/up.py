"""`manage.py up`: see exchange/embedded/up.py, which manage.py calls before it reads the settings."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from exchange.embedded.up import main


class Command(BaseCommand):
    help = "Runs the whole exchange on this machine until Ctrl-C: PostgreSQL, Valkey and all our processes."

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(main())
