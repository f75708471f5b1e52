"""What is read of the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from exchange.base import ids
from exchange.platform.audit.chain import PLATFORM
from exchange.platform.audit.log import ORDERS
from exchange.platform.audit.models import Head, Record, Seal


@dataclass(frozen=True)
class Wanted:
    """What to look for; what is None is not asked. `institution` is an id, or `PLATFORM` for its own."""

    actor: str | None = None
    action: str | None = None
    resource: str | None = None
    trace_id: str | None = None
    institution: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


def records(wanted: Wanted) -> QuerySet[Record]:
    """Newest first. Order commands stand in records of many: one that names the actor, the resource or the trace id
    anywhere is found as well."""
    found = Record.objects.order_by("-id")
    if wanted.since is not None:
        found = found.filter(id__gte=ids.floor(wanted.since))
    if wanted.until is not None:
        found = found.filter(id__lt=ids.floor(wanted.until))
    if wanted.institution is not None:
        own = None if wanted.institution == PLATFORM else wanted.institution
        found = found.filter(institution=own)
    if wanted.action is not None:
        found = found.filter(action=wanted.action)
    for name, value in (
        ("actor", wanted.actor),
        ("resource", wanted.resource),
        ("trace_id", wanted.trace_id),
    ):
        if value is not None:
            among = value.rpartition("/")[2] if name == "resource" else value
            found = found.filter(Q(**{name: value}) | Q(action=ORDERS, new__contains=among))
    return found


def seals(records: Sequence[Record]) -> dict[UUID, Seal]:
    """By record; what is not sealed yet has none."""
    return {seal.id: seal for seal in Seal.objects.filter(id__in=[record.pk for record in records])}


def heads() -> list[Head]:
    return list(Head.objects.order_by("chain"))


def as_document(record: Record, seal: Seal | None) -> dict[str, Any]:
    """A record as commands and exports show it."""
    return {
        "id": str(record.pk),
        "at": record.at.isoformat(),
        "institution": str(record.institution_id or ""),
        "number": seal.number if seal else None,
        "hash": bytes(seal.hash).hex() if seal else None,
        "actor": record.actor,
        "role": record.role,
        "action": record.action,
        "resource": record.resource,
        "old": record.old,
        "new": record.new,
        "address": record.address,
        "agent": record.agent,
        "trace_id": record.trace_id,
    }
