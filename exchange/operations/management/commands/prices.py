"""`manage.py prices`: the price of each market, from the outside market and our own trades."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand
from kombu.exceptions import OperationalError

from exchange.base import metrics
from exchange.base.env import env
from exchange.celery import app
from marketdata.prices.service import Service, Settings

POKE_EXPIRES = 2.0  # seconds; beat sends the same each second anyway
REDIS_TIMEOUT = 0.5


class Command(BaseCommand):
    help = "Follows prices until SIGTERM, and tells them on Redis and in PostgreSQL. Run one."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("httpx", "websockets"):  # they log each request and connection
            logging.getLogger(name).setLevel(logging.WARNING)
        metrics.serve(env.exchange_metrics_port + metrics.PRICES_OFFSET)
        with suppress(asyncio.CancelledError):
            asyncio.run(_run())


async def _run() -> None:
    settings = Settings(
        ws_url=env.exchange_price_ws_url,
        rest_url=env.exchange_price_rest_url,
        ws_patience=env.exchange_price_ws_patience,
        rest_patience=env.exchange_price_rest_patience,
        settle=env.exchange_price_settle,
        jump=env.exchange_price_jump,
    )
    service = asyncio.ensure_future(Service(settings, Poke()).run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, service.cancel)
    await service


class Poke:
    """Sends the task that checks the stops. Without Redis it gives up soon: there is nothing to check then."""

    def __init__(self) -> None:
        timeouts = {
            "socket_timeout": REDIS_TIMEOUT,
            "socket_connect_timeout": REDIS_TIMEOUT,
            "max_retries": 0,
        }
        self._connection = app.connection_for_write(transport_options=timeouts)

    def __call__(self) -> None:
        with suppress(OperationalError):
            app.send_task(
                "trading.check_stops",
                queue="stops",
                expires=POKE_EXPIRES,
                ignore_result=True,
                retry=False,
                connection=self._connection,
            )
