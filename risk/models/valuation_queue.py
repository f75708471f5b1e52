"""The queue of users whose portfolio is to be valued soon: filled by the code that changes it, worked off by Celery."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection

from exchange.base.database import array

SOON = 10  # seconds; a user who trades all the time is valued that often at most

# Rows that are due soon anyway are left alone. Sorted, so that two writers can't meet crosswise.
_ENQUEUE = """
    INSERT INTO risk_portfolio (user_id, due_at, currency, parts, unpriced, observations, tested, exceptions,
           concentrated, note)
    SELECT DISTINCT u, now() + %s * interval '1 second', '', '[]'::jsonb, '[]'::jsonb, 0, 0, 0, '', ''
      FROM unnest(%s::uuid[]) AS u ORDER BY u
        ON CONFLICT (user_id) DO UPDATE SET due_at = EXCLUDED.due_at
        WHERE risk_portfolio.due_at > EXCLUDED.due_at"""

# A user with an account has a portfolio; this finds those without an event.
_MISSING = """
    INSERT INTO risk_portfolio (user_id, due_at, currency, parts, unpriced, observations, tested, exceptions,
           concentrated, note)
    SELECT DISTINCT a.user_id, now(), '', '[]'::jsonb, '[]'::jsonb, 0, 0, 0, '', ''
      FROM read_balance a LEFT JOIN risk_portfolio p ON p.user_id = a.user_id
     WHERE p.user_id IS NULL ORDER BY a.user_id LIMIT %s
        ON CONFLICT DO NOTHING"""


def enqueue(users: Iterable[str], seconds: int = SOON) -> None:
    """Not later than in so many seconds."""
    with connection.cursor() as cursor:
        cursor.execute(_ENQUEUE, [seconds, array(users)])


def enqueue_missing(limit: int = 1000) -> int:
    """Users with an account and without a portfolio; how many were queued."""
    with connection.cursor() as cursor:
        cursor.execute(_MISSING, [limit])
        return cursor.rowcount
