"""The dead-man switch: all of a user's open orders go at a deadline that they keep putting off.

For a program that may lose its connection. It is durable, so it holds whatever is restarted meanwhile.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from exchange.base.origin import current
from exchange.base.times import rfc3339
from exchange.platform.audit.log import record
from risk.models import DeadMan

MOST_SECONDS = 24 * 3600


def arm(user_id: str, seconds: int) -> tuple[datetime, datetime | None]:
    """Now, and the deadline in `seconds` (1 to MOST_SECONDS) from now; 0 takes it away."""
    now = timezone.now()
    deadline = now + timedelta(seconds=seconds) if seconds else None
    with transaction.atomic():
        if deadline is None:
            changed = DeadMan.objects.filter(user_id=user_id).delete()[0] > 0
        else:
            _, changed = DeadMan.objects.update_or_create(user_id=user_id, defaults={"deadline": deadline})
        if changed:  # putting it off is not worth a record
            record(
                action="dead_man.armed" if deadline else "dead_man.cleared",
                resource=f"user/{user_id}",
                institution=current().institution,
                new={"deadline": rfc3339(deadline)} if deadline else {},
            )
    return now, deadline
