"""Lets go of what was published long ago, a whole partition of the outbox at a time, oldest first.

A partition goes when all of it is published (or given up) and its last event was so EXCHANGE_OUTBOX_HOURS ago. `verify`
starts at the oldest event that is left.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from exchange.base import partitions
from exchange.base.env import env
from exchange.platform.events.outbox import TABLE


def drop_published(*, dry_run: bool = False) -> list[str]:
    """The partitions that went."""
    horizon = timezone.now() - timedelta(hours=env.exchange_outbox_hours)
    gone = []
    for partition in partitions.blocks(TABLE):
        unpublished = f"SELECT FROM {partition} WHERE published_at IS NULL"
        if not _is_older(partition, horizon, unpublished):
            break
        if not dry_run and not partitions.drop(partition, unless=unpublished):
            break
        gone.append(partition)
    return gone


def _is_older(partition: str, horizon: datetime, unpublished: str) -> bool:
    """Looked at before it is locked: whatever is in there stays published, and nothing is added."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT NOT EXISTS ({unpublished})")
        if not cursor.fetchone()[0]:
            return False
        cursor.execute(f"SELECT published_at FROM {partition} ORDER BY id DESC LIMIT 1")  # noqa: S608 - the same
        row = cursor.fetchone()
        return row is None or row[0] < horizon
