"""`manage.py celery_beat`: sends the tasks that are due. Run one."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from exchange.platform.commands.process import become


class Command(BaseCommand):
    help = "Sends periodic tasks to the workers until SIGTERM."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        become("celery", "--app", "exchange.celery", "--quiet", "beat")
