"""What Celery does for notifications."""

from __future__ import annotations

import structlog
from celery import shared_task

from exchange.platform.notifications import delivery_queue

log = structlog.get_logger(__name__)


@shared_task(name="notifications.tidy")
def tidy() -> dict[str, int]:
    """How many deliveries have an unknown outcome, how many were too late, and how many rows were deleted."""
    found = delivery_queue.tidy()
    if found["unknown"] or found["late"]:
        log.warning("letters were not sent", unknown=found["unknown"], late=found["late"])
    return found
