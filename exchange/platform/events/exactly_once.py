"""Exactly once: an event's effects and the row which says that a group has handled it commit together.

Kafka may bring an event again, after a crash or because the relay or an operator sent it twice; then the row
is there already and the handler does not run. If two processes have the same event at the same time, the
second waits at the row for the first one's commit.

Why it is so: docs/decisions/010-exactly-once-consumers.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

from django.db import connection, transaction

from exchange.base.database import array
from exchange.platform.events.event import Event, Handler, takes_batches

Work = Sequence[tuple[Handler, Event]]

# Sorted: two processes that have the same events must not meet crosswise.
_MARK = """
    INSERT INTO events_handledevent ("group", event_id)
    SELECT %s, event_id FROM unnest(%s::uuid[]) AS event_id ORDER BY event_id
        ON CONFLICT DO NOTHING RETURNING event_id::text"""


def handle(group: str, work: Work) -> int:
    """Run the handlers of those events that `group` has not handled yet; how many these were. All or none:
    what a handler raises is raised, and nothing was done. Between topics there is no order, so the events of each
    are taken together and in theirs."""
    with transaction.atomic():
        new = _mark(group, [event.event_id for _, event in work])
        by_topic = sorted(_once(work, new), key=lambda each: each[1].topic)
        for handler, events in groupby(by_topic, key=itemgetter(0)):
            _run(handler, [event for _, event in events])
    return len(new)


def marked(group: str, event_ids: Iterable[str]) -> set[str]:
    """Which of these events `group` has handled."""
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT event_id::text FROM events_handledevent WHERE "group" = %s AND event_id = ANY (%s::uuid[])',
            [group, array(event_ids)],
        )
        return {event_id for (event_id,) in cursor.fetchall()}


def _mark(group: str, event_ids: Sequence[str]) -> set[str]:
    """The events that were not marked before."""
    with connection.cursor() as cursor:
        cursor.execute(_MARK, [group, array(event_ids)])
        return {event_id for (event_id,) in cursor.fetchall()}


def _once(work: Work, new: set[str]) -> Iterable[tuple[Handler, Event]]:
    """The new events, each for the first time that it comes."""
    left = set(new)
    for handler, event in work:
        if event.event_id in left:
            left.remove(event.event_id)
            yield handler, event


def _run(handler: Handler, events: list[Event]) -> None:
    if takes_batches(handler):
        handler(events)
        return
    for event in events:
        handler(event)
