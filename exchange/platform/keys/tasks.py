"""What Celery does for API keys."""

from __future__ import annotations

from celery import shared_task

from exchange.platform.keys import replay_protection


@shared_task(name="keys.forget_signatures")
def delete_old_signatures() -> int:
    """Requests that would be refused for their age need not be remembered."""
    return replay_protection.delete_old()
