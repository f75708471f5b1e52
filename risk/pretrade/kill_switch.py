"""The kill switch: a user or a whole institution may place no order, and what they have open is cancelled.

The block is a row that every intake reads within a second. Cancelling is the work of
`trading.orders.forced_cancels`, which looks each second for open orders of the blocked: so it happens however the block
came to be, and again for an order that slipped in at the same moment (docs/decisions/008).
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from exchange.platform.audit import log as audit
from exchange.platform.members.models import Institution, User
from risk.models import Block

Target = User | Institution


class AlreadyBlocked(Exception):
    """It has a block that is not lifted."""


class NotBlocked(Exception):
    """It has none."""


def block(target: Target, *, reason: str, by: str, trace_id: str) -> Block:
    """Raises AlreadyBlocked."""
    with transaction.atomic():
        _lock(target)
        if active_block(target) is not None:
            raise AlreadyBlocked
        made = Block.objects.create(**_field(target), reason=reason, by=by)
        _record("BLOCK", target, by, trace_id, {}, {"reason": reason})
    return made


def unblock(target: Target, *, reason: str, by: str, trace_id: str) -> Block:
    """What was cancelled stays so. Raises NotBlocked."""
    with transaction.atomic():
        _lock(target)
        lifted = active_block(target)
        if lifted is None:
            raise NotBlocked
        lifted.lifted_at, lifted.lifted_by = timezone.now(), by
        lifted.save(update_fields=["lifted_at", "lifted_by"])
        _record("LIFT_BLOCK", target, by, trace_id, {"reason": lifted.reason}, {"reason": reason})
    return lifted


def _lock(target: Target) -> None:
    """So that two operators do not do it at once."""
    if isinstance(target, User):
        User.objects.select_for_update().get(pk=target.pk)
    else:
        Institution.objects.select_for_update().get(pk=target.pk)


def active_block(target: Target) -> Block | None:
    """The block that is not lifted."""
    return Block.objects.filter(**_field(target), lifted_at__isnull=True).first()


def _field(target: Target) -> dict[str, Target]:
    return {"user" if isinstance(target, User) else "institution": target}


def _record(
    action: str, target: Target, by: str, trace_id: str, old: dict[str, str], new: dict[str, str]
) -> None:
    institution = target.institution_id if isinstance(target, User) else target.pk
    audit.record(
        action=action,
        resource=f"{'user' if isinstance(target, User) else 'institution'}/{target.pk}",
        actor=by,
        institution=str(institution or ""),
        old=old,
        new=new,
        trace_id=trace_id,
    )
