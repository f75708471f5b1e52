"""Hands the outbox of a running exchange to the handlers of notifications, where it runs without Kafka.

    python -m tests.functional.notifier

does in one process what the relay, Kafka and `consume notifications` do in four; all else is as it always is.
Where those run too it does no harm: what the group has handled is marked.
"""

from __future__ import annotations

import threading

import django

OVERLAP = 500  # ids: a transaction that took a lower one may commit later; what is seen twice is handled once


def run() -> None:
    from django.db import connection

    from exchange.operations.event_dispatch import handlers
    from exchange.platform.events import event, exactly_once
    from exchange.platform.notifications import sender

    table = handlers("notifications")
    sender.start()
    pause = threading.Event()
    last = 0
    while not pause.wait(0.05):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id, topic, key, message FROM events_outboxevent WHERE id > %s ORDER BY id LIMIT 2000",
                [last - OVERLAP],
            )
            rows = cursor.fetchall()
        work = []
        for last, topic, key, message in rows:  # noqa: B007 - the last one's id is kept
            handler = table.get((topic, event.event_type(message.encode())))
            if handler is not None:
                work.append((handler, event.read(topic, key.encode(), message.encode())))
        exactly_once.handle("notifications", work)


if __name__ == "__main__":
    django.setup()
    run()
