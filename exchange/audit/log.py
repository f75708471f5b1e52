"""Who did what: a record in the transaction that did it, and an event of `audit.logs`.

The order path (`trading.trail`) and `manage.py` write their own records; the sealer tells of those.

The record stands in PostgreSQL, where triggers refuse to change it; within about a second `sealing` gives it its number
and hash in its institution's chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from django.db import connection

from exchange import ids
from exchange.audit.chain import Entry
from exchange.audit.origin import current
from exchange.events import outbox

TOPIC = "audit.logs"
TABLE = "audit_record"
COLUMNS = "id, institution_id, actor, role, action, resource, old, new, address, agent, trace_id"
UNKNOWN = "system"  # what runs for nobody: a task of ours
ORDERS = "ORDERS"  # the action of a record of order commands
COMMAND_START, COMMAND_END = "command.start", "command.end"
BY_SEALER = frozenset({ORDERS, COMMAND_START, COMMAND_END})  # whose writers leave the event to the sealer

_encoder = msgspec.json.Encoder(decimal_format="string", uuid_format="canonical", order="sorted")


def record(
    *,
    action: str,
    resource: str,
    actor: str = "",
    institution: str = "",
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    trace_id: str = "",
    role: str = "",
    address: str = "",
    agent: str = "",
) -> None:
    """`institution` is an id, or empty for what concerns the whole installation; `old` and `new` are what the
    action changed. Of who did it, what is left empty is taken from the current origin. The caller has a transaction
    open."""
    assert connection.in_atomic_block, "a record commits with the change that it tells of"
    origin = current()
    actor = actor or origin.actor or UNKNOWN
    payload = {
        "actor": actor,
        "role": role or (origin.role if actor == origin.actor else ""),
        "institution": institution,
        "action": action,
        "resource": resource,
        "old": old or {},
        "new": new or {},
        "address": address or origin.address,
        "agent": agent or origin.agent,
    }
    trace_id, record_id = trace_id or origin.trace_id, ids.uuid7()
    row: dict[str, Any] = {**payload, "old": facts(payload["old"]), "new": facts(payload["new"])}
    row |= {"id": record_id, "institution_id": institution or None, "trace_id": trace_id}
    names = COLUMNS.split(", ")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} ({COLUMNS}) VALUES ({', '.join(['%s'] * len(names))})",
            [row[name] for name in names],
        )
    outbox.append(
        TOPIC, institution or "platform", "AUDIT", {**payload, "record": record_id}, trace_id=trace_id
    )


def facts(values: Any) -> str:
    """As the record keeps them: JSON with sorted keys."""
    return _encoder.encode(values).decode()


def event(entry: Entry) -> str:
    """The AUDIT event of a record that has been written without one, as text."""
    payload = entry._asdict()
    payload |= {"old": msgspec.json.decode(entry.old), "new": msgspec.json.decode(entry.new)}
    payload["record"] = payload.pop("id")
    at, trace_id = payload.pop("at"), payload.pop("trace_id")
    return outbox.message("AUDIT", payload, trace_id=trace_id, event_id=entry.id, timestamp=at)
