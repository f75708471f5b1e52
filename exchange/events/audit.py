"""Who did what, as an event of `audit.logs`, in the transaction that did it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exchange.events import outbox

TOPIC = "audit.logs"


def record(
    *,
    action: str,
    resource: str,
    actor: str,
    institution: str,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    trace_id: str = "",
    role: str = "",
    address: str = "",
) -> None:
    """`institution` is an id, or empty for what concerns the whole installation; `old` and `new` are what the
    action changed. The caller has a transaction open."""
    payload = {
        "actor": actor,
        "role": role,
        "institution": institution,
        "action": action,
        "resource": resource,
        "old": old or {},
        "new": new or {},
        "address": address,
    }
    outbox.append(TOPIC, institution or "platform", "AUDIT", payload, trace_id=trace_id)
