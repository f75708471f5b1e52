"""What Celery does for the audit log: seal records, and say where the chains stand."""

from __future__ import annotations

import time

import django.db
import structlog
from celery import shared_task

from exchange.platform.audit import sealing

log = structlog.get_logger(__name__)

SECONDS = 0.4  # for one run: others wait for the worker, and the next one comes after a second


@shared_task(name="audit.seal")
def seal() -> int:
    """How many records. What fails is done by the next one."""
    ends, total = time.monotonic() + SECONDS, 0
    try:
        while time.monotonic() < ends and (sealed := sealing.seal()):
            total += sealed
    except django.db.Error as error:
        log.warning("audit records could not be sealed", error=str(error).split("\n")[0])
    return total


@shared_task(name="audit.tell_heads")
def publish_heads() -> int:
    try:
        return sealing.publish_heads()
    except django.db.Error as error:
        log.warning("heads of the audit log could not be published", error=str(error).split("\n")[0])
        return 0
