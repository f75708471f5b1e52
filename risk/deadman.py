"""The dead-man switch: all of a user's open orders go at a deadline that they keep putting off.

For a program that may lose its connection. It is durable, so it holds whatever is restarted meanwhile.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from risk.models import DeadMan

MOST_SECONDS = 24 * 3600


def arm(user_id: str, seconds: int) -> tuple[datetime, datetime | None]:
    """Now, and the deadline in `seconds` (1 to MOST_SECONDS) from now; 0 takes it away."""
    now = timezone.now()
    if not seconds:
        DeadMan.objects.filter(user_id=user_id).delete()
        return now, None
    deadline = now + timedelta(seconds=seconds)
    DeadMan.objects.update_or_create(user_id=user_id, defaults={"deadline": deadline})
    return now, deadline
