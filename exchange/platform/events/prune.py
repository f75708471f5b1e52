"""Forgets which events were handled once Kafka has forgotten the events themselves.

The horizon is the topics' retention and a week more, because a published event may stand in the outbox as
long and an operator may have it sent again. Each group clears its own rows away, a bounded number at a time.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from django.db import connection

from exchange.base import ids
from exchange.base.env import env
from exchange.platform.events.retry import database_away

MARGIN = timedelta(days=7)
EVERY_SECONDS = 10.0
AT_ONCE = 50_000  # rows: more a second than are handled

_PRUNE = """
    DELETE FROM events_handledevent
     WHERE "group" = %s AND event_id < %s AND event_id <= coalesce(
           (SELECT event_id FROM events_handledevent WHERE "group" = %s AND event_id < %s
             ORDER BY event_id OFFSET %s LIMIT 1), %s)"""


def horizon(now: datetime) -> datetime:
    return now - timedelta(hours=env.kafka_retention_hours) - MARGIN


def prune(group: str, now: datetime, at_once: int = AT_ONCE) -> int:
    """Rows that went: those of events from before the horizon, oldest first."""
    bound = str(ids.floor(horizon(now)))
    with connection.cursor() as cursor:
        cursor.execute(_PRUNE, [group, bound, group, bound, at_once - 1, bound])
        return cursor.rowcount


class Pruner:
    """Does it now and then between two batches."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._next = time.monotonic() + EVERY_SECONDS

    def turn(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_SECONDS
        try:
            prune(self._group, datetime.now(UTC))
        except Exception as error:
            if not database_away(error):
                raise
            connection.close()
