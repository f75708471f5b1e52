"""`manage.py matcher --group G`: the matching worker of one symbol group.

The worker belongs to `matching`, which does not know `trading`: here it is given the settlement that makes its events
durable.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.base import metrics
from exchange.base.database import connect
from exchange.base.env import env
from exchange.base.redis import connect as connect_redis
from matching.models import SymbolGroup
from matching.snapshot import SNAPSHOT_SECONDS, SnapshotWriter
from matching.worker import Worker
from trading.settlement.group_settlement import GroupSettlement


class Command(BaseCommand):
    help = "Match one symbol group's orders until SIGTERM. A second matcher waits for the first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--group", required=True, help="name of the symbol group, see `manage.py groups`")

    def handle(self, *args: Any, group: str, **options: Any) -> None:
        groups = list(SymbolGroup.objects.order_by("name").values_list("name", flat=True))
        if group not in groups:
            raise CommandError(f"no group {group!r}; there are: {', '.join(groups) or 'none'}", returncode=2)
        metrics.serve(env.exchange_metrics_port + metrics.MATCHER_OFFSET + groups.index(group))
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        settlement = GroupSettlement(group, lambda: connect(f"exchange matcher {group}"), stop)
        client = connect_redis(socket_timeout=SNAPSHOT_SECONDS + 1)
        Worker(group, settlement, client, SnapshotWriter(client, group)).run(stop)
