"""`manage.py celery_worker`: runs the tasks that beat and the other processes send.

With `--queue stops` it does nothing but check stops, with `--queue relay` nothing but send events to Kafka, with
`--queue risk` nothing but look for risk and abuse, so that no other work comes in between.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from exchange.base import celery_queues
from exchange.platform.commands.process import become


class Command(BaseCommand):
    help = "Runs background tasks until SIGTERM, one at a time."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--queue", choices=celery_queues.ALL, default=celery_queues.DEFAULT, help="default: %(default)s"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        alone = (
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        )  # no worker needs to know of others
        queue = options["queue"]
        own = ("--queues", queue, "--hostname", f"{queue}@%h")
        become("celery", "--app", "exchange.celery", "--quiet", "worker", *own, *alone)
