"""Each signed request once: see `migrations/sql/seen.sql` for what is remembered and why it may be forgotten.

Why not Redis: it may be flushed, restarted from an older file or taken over by a replica that lacks the last second,
and says nothing of it; then a request that was seen would be new. PostgreSQL must be there for a request to mean
anything, so asking it costs no availability, and an unlogged row costs no wait for the disk.

Why it is so: docs/decisions/012-signed-requests.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from django.db import connection, connections

AHEAD = 1000  # ms that a timestamp may be in the future; as in seen.sql
_KEEP = 60_000  # ms that a row stays longer than it is needed, for a request that was held up in between
_MEMORY = UUID(int=0)

_REMEMBER = "SELECT outcome, now FROM keys_remember($1, $2, $3)"
_FORGET = """
    DELETE FROM keys_seen
     WHERE until < extract(epoch FROM clock_timestamp()) * 1000 - %s AND id <> %s"""


class Outcome(StrEnum):
    NEW = "NEW"
    REPLAYED = "REPLAYED"
    OUTSIDE = "OUTSIDE"
    UNSURE = "UNSURE"


class Remembered(NamedTuple):
    outcome: Outcome
    now: int  # the database's clock, in ms


def remember(request: UUID, timestamp: int, window: int) -> Remembered:
    """Take note of a request; times in ms. Raises database errors: then it was not seen, or must not be used
    again."""
    wrapper = connections["default"]
    wrapper.ensure_connection()
    try:
        return _ask(wrapper.connection, request, timestamp, window)
    except psycopg.OperationalError:
        if wrapper.in_atomic_block:
            raise
        wrapper.close()  # PostgreSQL was restarted since this thread's last request
        wrapper.ensure_connection()
        return _ask(wrapper.connection, request, timestamp, window)


def _ask(opened: psycopg.Connection[Any], request: UUID, timestamp: int, window: int) -> Remembered:
    cursor = psycopg.RawCursor(opened)
    cursor.execute(_REMEMBER, (request, timestamp, window), prepare=True)
    row = cursor.fetchone()
    assert row is not None
    outcome, now = row
    return Remembered(Outcome(outcome), now)


def delete_old() -> int:
    """Let go of what would be refused for its age; how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, [_KEEP, _MEMORY])
        return cursor.rowcount
