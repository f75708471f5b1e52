"""What an operator does to events that did not get through, or that the cluster has lost.

Each runs in a transaction of its own and is recorded in the audit log. Where something that lies behind the relay is to
be sent, its floor is lowered; that waits for its batch to end.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from exchange.base.times import rfc3339
from exchange.platform.audit import log as audit
from exchange.platform.events import low_watermark
from exchange.platform.events.models import OutboxEvent

_RETRY = """
    UPDATE events_outboxevent SET status = 'PENDING', tries = 1, next_try_at = now()
     WHERE published_at IS NULL AND status = 'FAILED' AND (id = ANY (%s) OR %s) RETURNING id"""
_DISCARD = """
    UPDATE events_outboxevent SET status = 'DISCARDED', published_at = now()
     WHERE published_at IS NULL AND tries > 0 AND id = ANY (%s) RETURNING id"""
_REPUBLISH = """
    WITH again AS (
        UPDATE events_outboxevent SET status = 'PENDING', published_at = NULL, tries = 0
         WHERE status = 'PUBLISHED' AND published_at >= %s RETURNING id)
    SELECT count(*), coalesce(min(id), 0) FROM again"""


def failed(ids: Collection[int] | None = None) -> list[int]:
    """FAILED events, of `ids` if given."""
    rows = OutboxEvent.objects.filter(published_at=None, status=OutboxEvent.Status.FAILED)
    return list(
        (rows if ids is None else rows.filter(id__in=ids)).order_by("id").values_list("id", flat=True)
    )


def refused(ids: Collection[int]) -> list[int]:
    """Those of `ids` that were refused and are not through."""
    rows = OutboxEvent.objects.filter(published_at=None, tries__gt=0, id__in=ids)
    return list(rows.order_by("id").values_list("id", flat=True))


def published_since(moment: datetime) -> int:
    return OutboxEvent.objects.filter(status=OutboxEvent.Status.PUBLISHED, published_at__gte=moment).count()


def retry(ids: Collection[int] | None = None, *, actor: str) -> list[int]:
    """Let FAILED events (of `ids`, or all) be tried again; which."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_RETRY, [list(ids or []), ids is None])
        return _told(cursor, "outbox.retry", actor)


def discard(ids: Collection[int], *, actor: str) -> list[int]:
    """Give up refused events, so that the later ones of their keys go on; which."""
    with transaction.atomic(), connection.cursor() as cursor:
        low_watermark.lower(cursor, 0)
        cursor.execute(_DISCARD, [list(ids)])
        return _told(cursor, "outbox.discard", actor)


def republish(since: datetime, *, actor: str) -> int:
    """Have everything sent again that was published since then, in its order; how many events."""
    with transaction.atomic(), connection.cursor() as cursor:
        low_watermark.lower(cursor, 0)
        cursor.execute(_REPUBLISH, [since])
        count, first = cursor.fetchone()
        if count:
            new = {"since": rfc3339(since), "events": count, "first": str(first)}
            audit.record(action="outbox.republish", resource="outbox", actor=actor, institution="", new=new)
        return int(count)


def _told(cursor: CursorWrapper, action: str, actor: str) -> list[int]:
    ids = sorted(row[0] for row in cursor.fetchall())
    if ids:
        new = {"ids": [str(each) for each in ids]}
        audit.record(action=action, resource="outbox", actor=actor, institution="", new=new)
    return ids
