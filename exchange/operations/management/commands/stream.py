"""`manage.py stream`: WebSocket, served by daphne."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from typing import Any

import structlog
from django.core.management.base import BaseCommand

from exchange.base import metrics
from exchange.base.env import env
from exchange.platform.commands.process import require_free, require_key

MAX_FRAME = 64 * 1024  # bytes; what a client sends is short, and the consumer refuses less than this politely

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Serves WebSocket clients on EXCHANGE_WS_PORT until SIGTERM."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        require_key()
        require_free(env.exchange_ws_port, "EXCHANGE_WS_PORT")
        logging.getLogger("daphne").setLevel(logging.WARNING)
        metrics.serve(env.exchange_metrics_port + metrics.STREAM_OFFSET)
        from exchange.asgi import application
        from exchange.platform.keys import last_used
        from marketdata.stream.client_requests import hub
        from marketdata.stream.server import FeedServer  # before anything imports Twisted's usual reactor

        running: list[asyncio.Task[None]] = []
        failures: list[BaseException] = []

        def ended(task: asyncio.Task[None]) -> None:
            """Without the feed there is nothing to serve: the supervisor of this process starts it again."""
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("the hub failed", exc_info=error)
                failures.append(error)
                server.stop()

        def ready() -> None:
            gc.collect()
            gc.freeze()  # what is loaded now stays: a full collection of it would hold all clients up
            running.append(asyncio.get_event_loop().create_task(hub.run()))
            running[0].add_done_callback(ended)

        host = env.exchange_bind.replace(":", "\\:")
        server = FeedServer(
            application,
            endpoints=[f"tcp:port={env.exchange_ws_port}:interface={host}:backlog=1024"],
            websocket_timeout=-1,
            websocket_max_message_size=MAX_FRAME,
            websocket_max_frame_size=MAX_FRAME,
            server_name="exchange",
            verbosity=0,
            ready_callable=ready,
            before_stop=hub.close,
        )
        last_used.start()
        server.run()
        if failures or not server.listening_addresses:
            sys.exit(1)
