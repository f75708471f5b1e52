"""What Celery does for members."""

from __future__ import annotations

from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore

from exchange.platform.members import staff_sessions


@shared_task(name="members.forget_sessions")
def delete_old_sessions() -> int:
    """Browsers' sessions that have run out, and sign-ins that are no longer recent; how many of these."""
    SessionStore.clear_expired()
    return staff_sessions.delete_old()
