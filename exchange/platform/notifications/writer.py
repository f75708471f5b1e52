"""Writes notifications and their deliveries in the open transaction; what leaves the house leaves after it.

One who trades all day gets `SINGLE_AN_HOUR` messages an hour and channel; what is above waits for a digest.
Security has an allowance of its own, so that no number of fills can hold it up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

import msgspec
from django.db import connection, transaction

from exchange.base import ids
from exchange.platform.notifications import feed, preferences, sender
from exchange.platform.notifications.feed import FeedNote, Note
from exchange.platform.notifications.kinds import OUTWARD, SECURITY, Channel, NotificationKind
from exchange.platform.notifications.models import Delivery

SINGLE_AN_HOUR = 20
HOUR = timedelta(hours=1)

_INSERT = """
    INSERT INTO notifications_notification
           (id, user_id, kind, about, event_id, data, live, trace_id, created_at)
    SELECT id, user_id, kind, about, event_id, data, live, trace_id, created_at
      FROM jsonb_to_recordset(%s::jsonb) AS n (id uuid, user_id uuid, kind text, about text, event_id uuid,
           data jsonb, live boolean, trace_id text, created_at timestamptz)
        ON CONFLICT (user_id, about) DO NOTHING RETURNING id::text"""

# How many were written within the hour, counted no further than it matters.
_WITHIN_THE_HOUR = """
    SELECT w.user_id::text, w.channel, w.security, (SELECT count(*) FROM (
           SELECT FROM notifications_delivery d
            WHERE d.user_id = w.user_id AND d.channel = w.channel AND d.id >= %s
              AND (d.kind = ANY (%s)) = w.security LIMIT %s) AS counted)
      FROM unnest(%s::uuid[], %s::text[], %s::boolean[]) AS w (user_id, channel, security)"""


class NotificationEvent(NamedTuple):
    """Something that a user may want to know. `about` is as in `models.Notification`."""

    user_id: str
    kind: NotificationKind
    about: str
    event_id: str
    data: dict[str, str]
    trace_id: str
    at: str


class _Row(msgspec.Struct):
    id: str
    user_id: str
    kind: str
    about: str
    event_id: str
    data: dict[str, str]
    live: bool
    trace_id: str
    created_at: str


def write(events: Sequence[NotificationEvent]) -> None:
    """Notify each user once of each event, on the channels they want. Needs an open transaction."""
    assert connection.in_atomic_block, "a notification commits with the mark that its event was handled"
    if not events:
        return
    wanted = preferences.wanted({each.user_id for each in events})
    channels: dict[str, frozenset[Channel]] = {}
    rows = []
    for each in events:
        on = wanted.get(each.user_id, {}).get(each.kind)
        if on:
            row = _Row(
                ids.uuid7(),
                each.user_id,
                each.kind,
                each.about,
                each.event_id,
                each.data,
                Channel.WEBSOCKET in on,
                each.trace_id,
                each.at,
            )
            rows.append(row)
            channels[row.id] = on
    inserted = _inserted(rows) if rows else set()
    new = [row for row in rows if row.id in inserted]
    outward = [(row, channel) for row in new for channel in OUTWARD if channel in channels[row.id]]
    _queue(outward)
    transaction.on_commit(partial(_leave, [_told(row) for row in new if row.live], bool(outward)))


def _inserted(rows: list[_Row]) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [msgspec.json.encode(rows).decode()])
        return {row_id for (row_id,) in cursor.fetchall()}


def _queue(outward: list[tuple[_Row, Channel]]) -> None:
    if not outward:
        return
    now = datetime.now(UTC)
    keys = {(row.user_id, channel, row.kind in SECURITY) for row, channel in outward}
    written = _within_the_hour(keys, now)
    deliveries = []
    for row, channel in outward:
        key = (row.user_id, channel, row.kind in SECURITY)
        written[key] += 1
        held = written[key] > SINGLE_AN_HOUR
        deliveries.append(
            Delivery(
                notification_id=row.id,
                user_id=row.user_id,
                kind=row.kind,
                channel=channel,
                state=Delivery.State.HELD if held else Delivery.State.QUEUED,
                due_at=now + HOUR if held else now,
            )
        )
    Delivery.objects.bulk_create(deliveries)


def _within_the_hour(keys: set[tuple[str, Channel, bool]], now: datetime) -> Counter[tuple[str, str, bool]]:
    users, channels, security = (list(column) for column in zip(*keys, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(
            _WITHIN_THE_HOUR,
            [ids.floor(now - HOUR), list(SECURITY), SINGLE_AN_HOUR, users, channels, security],
        )
        return Counter({(user, channel, safe): count for user, channel, safe, count in cursor.fetchall()})


def _told(row: _Row) -> FeedNote:
    return FeedNote(row.user_id, Note(row.id, row.kind, row.event_id, row.data, row.created_at))


def _leave(notes: list[FeedNote], outward: bool) -> None:
    if notes:
        feed.publish(notes)
    if outward:
        sender.wake()
