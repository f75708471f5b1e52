"""`manage.py stream`: WebSocket, served by daphne."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from django.core.management.base import BaseCommand

from exchange import metrics
from exchange.env import env
from exchange.platform.process import require_free, require_key

MAX_FRAME = 64 * 1024  # bytes; what a client sends is short, and the consumer refuses less than this politely


class Command(BaseCommand):
    help = "Serves WebSocket clients on EXCHANGE_WS_PORT until SIGTERM."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        require_key()
        require_free(env.exchange_ws_port, "EXCHANGE_WS_PORT")
        logging.getLogger("daphne").setLevel(logging.WARNING)
        metrics.serve(env.exchange_metrics_port + metrics.STREAM_OFFSET)
        from daphne.server import Server  # installs Twisted's asyncio reactor, which only this process wants

        from exchange.asgi import application
        from marketdata.consumers import hub

        host = env.exchange_bind.replace(":", "\\:")
        beats: list[asyncio.Task[None]] = []  # the loop itself keeps no hold of its tasks
        server = Server(
            application,
            endpoints=[f"tcp:port={env.exchange_ws_port}:interface={host}"],
            websocket_timeout=-1,
            websocket_max_message_size=MAX_FRAME,
            websocket_max_frame_size=MAX_FRAME,
            server_name="exchange",
            verbosity=0,
            ready_callable=lambda: beats.append(asyncio.get_event_loop().create_task(hub.run())),
        )
        server.run()
        if not server.listening_addresses:
            sys.exit(1)
