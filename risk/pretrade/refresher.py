"""Keeps what the gate goes by fresh, in a thread beside the order path.

Rules and reference prices are looked at every `rules.LOOK_SECONDS`, and exposure that has become stale is reloaded.
So the gate itself asks PostgreSQL for nothing, but for a user whose exposure is not loaded yet. Where this thread
does not run, or has fallen behind, the gate looks itself (docs/decisions/006).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import psycopg
import redis
import structlog

from exchange.base.database import connect
from exchange.base.redis import client
from risk.pretrade import exposure, reference_prices
from risk.pretrade.rules import LOOK_SECONDS, Rules

log = structlog.get_logger(__name__)

rules = Rules()


class Refresher:
    """One per process; started by processes that take orders all day."""

    def __init__(self) -> None:
        self._stale: set[str] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        threading.Thread(target=self._run, name="gate refresher", daemon=True).start()

    def reload(self, users: Iterable[str]) -> None:
        """Have the exposure of these users reloaded, soon."""
        with self._lock:
            self._stale.update(users)

    def refresh(self, connection: psycopg.Connection[Any]) -> None:
        """May raise psycopg.Error, redis.RedisError."""
        rules.look(connection)
        reference_prices.refresh(connection)
        with self._lock:
            users, self._stale = self._stale, set()
        for user in users:  # one by one: a busy one may take its time
            exposure.store(client(), exposure.load(connection, [user]))

    def _run(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        well = True
        pause = threading.Event()  # never set: a process ends without asking this thread
        while not pause.wait(LOOK_SECONDS):
            try:
                if connection is None or connection.closed:
                    connection = connect("exchange gate")
                self.refresh(connection)
                well = True
            except (psycopg.Error, redis.RedisError) as error:
                if well:
                    log.warning("the gate is not refreshed", error=str(error).split("\n")[0])
                well = False
                if connection is not None:
                    connection.close()


refresher = Refresher()
