"""Who did what: a record in the transaction that did it, and an event of `audit.logs`, in one statement.

The record stands in PostgreSQL, where triggers refuse to change it; within about a second `sealing` gives it its number
and hash in its institution's chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from django.db import connection, transaction

from exchange.base import ids
from exchange.base.origin import current
from exchange.platform.events import outbox
from exchange.platform.events.wakeup import wake_relay

TOPIC = "audit.logs"
TABLE = "audit_record"
UNKNOWN = "system"  # what runs for no user: a task of ours
ORDERS = "ORDERS"  # the action of a record of order commands
COMMAND_START, COMMAND_END = "command.start", "command.end"

# In the event as they are.
_EVENT_FIELDS = ("actor", "role", "institution", "action", "resource", "address", "agent")
_INSERT = f"""
    WITH record AS (
        INSERT INTO {TABLE} (id, old, new, trace_id, institution_id, actor, role, action, resource, address, agent)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s))
    INSERT INTO {outbox.TABLE} ({outbox.COLUMNS}) VALUES (%s, %s, %s)"""

_encoder = msgspec.json.Encoder(decimal_format="string", uuid_format="canonical", order="sorted")


def statement(
    *, action: str, resource: str, old: str = "{}", new: str = "{}", trace_id: str = "", **who: str
) -> tuple[str, tuple[str | None, ...]]:
    """SQL that writes a record and its event, with its values. `old` and `new` are JSON objects; `who` has actor, role,
    institution (an id), address and agent, as far as they are known. After the commit, `wake_relay`."""
    fields = {name: who.get(name, "") for name in _EVENT_FIELDS} | {"action": action, "resource": resource}
    record_id, institution = ids.uuid7(), fields["institution"]
    payload = {**fields, "record": record_id, "old": msgspec.Raw(old), "new": msgspec.Raw(new)}
    message = outbox.message("AUDIT", payload, trace_id=trace_id, event_id=record_id)
    row = (fields[name] for name in _EVENT_FIELDS if name != "institution")
    kept = (record_id, old, new, trace_id, institution or None, *row)
    return _INSERT, (*kept, TOPIC, institution or "platform", message)


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
    assert connection.in_atomic_block, "a record commits with the change that it reports"
    origin = current()
    actor = actor or origin.actor or UNKNOWN
    sql, values = statement(
        action=action,
        resource=resource,
        old=facts(old or {}),
        new=facts(new or {}),
        trace_id=trace_id or origin.trace_id,
        actor=actor,
        role=role or (origin.role if actor == origin.actor else ""),
        institution=institution,
        address=address or origin.address,
        agent=agent or origin.agent,
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
    transaction.on_commit(wake_relay)


def facts(values: Any) -> str:
    """As the record keeps them: JSON with sorted keys."""
    return _encoder.encode(values).decode()
