"""`manage.py celery_worker`: runs the tasks that beat and the other processes send."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from exchange.platform.process import become


class Command(BaseCommand):
    help = "Runs background tasks until SIGTERM, one at a time."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        alone = (
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        )  # no worker needs to know of others
        become("celery", "--app", "exchange.celery", "--quiet", "worker", *alone)
