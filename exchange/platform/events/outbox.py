"""How an event gets into the outbox: as a line for a bulk write, or in Django's open transaction.

    {"event_type", "event_id", "schema_version", "timestamp", "trace_id", "payload"}

is the envelope of every event; `topics` says which there are. Code that changes a state calls this in the same
transaction, and `wake_relay` after its commit (`append` sees to that itself).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from django.db import connection, transaction

from exchange.base import ids
from exchange.base.database import escape
from exchange.base.times import now_text
from exchange.platform.events.wakeup import wake_relay

TABLE = "events_outboxevent"
COLUMNS = "topic, key, message"
SCHEMA_VERSION = 1

_encoder = msgspec.json.Encoder(decimal_format="string", uuid_format="canonical")


def message(
    event_type: str,
    payload: Mapping[str, Any],
    *,
    trace_id: str,
    event_id: str | None = None,
    timestamp: str | None = None,
) -> str:
    """The envelope as JSON text. Amounts in `payload` are decimal strings or Decimal, never floats."""
    return _encoder.encode(
        {
            "event_type": event_type,
            "event_id": event_id or ids.uuid7(),
            "schema_version": SCHEMA_VERSION,
            "timestamp": timestamp or now_text(),
            "trace_id": trace_id,
            "payload": payload,
        }
    ).decode()


def line(topic: str, key: str, text: str) -> str:
    """A line for `Transaction.copy(TABLE, COLUMNS, …)`."""
    return f"{topic}\t{escape(key)}\t{escape(text)}\n"


def append(topic: str, key: str, event_type: str, payload: Mapping[str, Any], *, trace_id: str) -> None:
    """Write the event in Django's open transaction, which the caller opened at its edge."""
    assert connection.in_atomic_block, "an event commits with the change that it reports"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} ({COLUMNS}) VALUES (%s, %s, %s)",  # noqa: S608 - names are ours
            [topic, key, message(event_type, payload, trace_id=trace_id)],
        )
    transaction.on_commit(wake_relay)
