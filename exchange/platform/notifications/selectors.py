"""Reads about notifications."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from exchange.base.times import rfc3339
from exchange.platform.notifications.feed import Note
from exchange.platform.notifications.models import Notification


def latest(user_id: str, limit: int, before: UUID | None = None, kind: str | None = None) -> list[Note]:
    """The user's own, newest first; those before the id `before`."""
    return _notes(Notification.objects.filter(user_id=user_id), limit, before, kind)


def feed(user_id: str, limit: int) -> list[Note]:
    """What was sent to the user on the feed, newest first."""
    return _notes(Notification.objects.filter(user_id=user_id, live=True), limit)


def _notes(
    rows: QuerySet[Notification], limit: int, before: UUID | None = None, kind: str | None = None
) -> list[Note]:
    if before is not None:
        rows = rows.filter(id__lt=before)
    if kind is not None:
        rows = rows.filter(kind=kind)
    return [
        Note(str(row.pk), row.kind, str(row.event_id), row.data, rfc3339(row.created_at, "auto"))
        for row in rows.order_by("-id")[:limit]
    ]
