"""What is in the outbox."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db import connection
from django.utils import timezone

_STATE = """
    SELECT count(*) FILTER (WHERE status = 'PENDING'), count(*) FILTER (WHERE status = 'FAILED'),
           count(DISTINCT (topic, key)) FILTER (WHERE tries > 0)
      FROM events_outboxevent WHERE published_at IS NULL"""
_OLDEST = """
    SELECT (message::json ->> 'timestamp')::timestamptz FROM events_outboxevent
     WHERE published_at IS NULL AND status = 'PENDING' ORDER BY id LIMIT 1"""
_FAILED = """
    SELECT id, topic, key, tries, reason FROM events_outboxevent
     WHERE published_at IS NULL AND status = 'FAILED' ORDER BY id LIMIT %s"""


class State(NamedTuple):
    """`held_keys`: keys whose later events wait for one that was refused."""

    pending: int
    failed: int
    held_keys: int
    oldest: datetime | None

    @property
    def oldest_seconds(self) -> float:
        return (timezone.now() - self.oldest).total_seconds() if self.oldest else 0.0


def state() -> State:
    with connection.cursor() as cursor:
        cursor.execute(_STATE)
        pending, failed, held = cursor.fetchone()
        cursor.execute(_OLDEST)
        row = cursor.fetchone()
    return State(pending, failed, held, row[0] if row else None)


class Failed(NamedTuple):
    """An event that Kafka refused too often."""

    id: int
    topic: str
    key: str
    tries: int
    reason: str


def failed(limit: int) -> list[Failed]:
    """The oldest of them."""
    with connection.cursor() as cursor:
        cursor.execute(_FAILED, [limit])
        return [Failed(*row) for row in cursor.fetchall()]
