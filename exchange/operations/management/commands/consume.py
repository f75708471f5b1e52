"""`manage.py consume GROUP …`: handles events, for each group in a thread of its own."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.base import metrics
from exchange.base.env import env
from exchange.operations.event_dispatch import COLLECT, HANDLERS, beside, handlers
from exchange.platform.events import kafka
from exchange.platform.events.consumer import Consumer
from exchange.platform.events.event import Handler

NICE = 10  # gives way to who is on the order path, once it has started
SWITCH_SECONDS = 0.001  # threads here wait for answers: one that has its answer is to go on soon

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Handles events as members of consumer groups until SIGTERM. Run as many as you like."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("groups", nargs="+", choices=list(HANDLERS), metavar="GROUP", help="%(choices)s")

    def handle(self, *args: Any, **options: Any) -> None:
        if not kafka.configured():
            raise CommandError("KAFKA_BROKERS is empty: there is nothing to consume", returncode=2)
        try:
            tables = {group: handlers(group) for group in options["groups"]}
        except ImportError as error:
            raise CommandError(str(error)) from error
        os.nice(NICE)
        sys.setswitchinterval(SWITCH_SECONDS)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        metrics.serve(env.exchange_metrics_port + metrics.CONSUMERS_OFFSET)
        others = beside(tables)
        for each in others:
            each.start()
        try:
            completed = consume(tables, stop)
        finally:
            for each in others:
                each.stop()
        if not completed:
            sys.exit(1)


def consume(tables: Mapping[str, Mapping[tuple[str, str], Handler]], stop: threading.Event) -> bool:
    """Until `stop`. False if a group ended by an error: then all end, and the supervisor of this process starts it
    again."""
    failed = threading.Event()

    def run(group: str) -> None:
        try:
            Consumer(group, tables[group], collect=COLLECT.get(group, 0.0)).run(stop)
        except Exception:
            log.exception("consumer failed", group=group)
            failed.set()
            stop.set()

    threads = [threading.Thread(target=run, args=[group], name=group) for group in tables]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return not failed.is_set()
