"""What Celery does for trading: send lost commands again, make partitions ahead."""

from __future__ import annotations

import redis
import structlog
from celery import shared_task

from exchange import partitions
from exchange.redis import client
from matching import stream
from matching.snapshot import heartbeat_key
from trading.lost import LostCommands
from trading.partitions import TABLES

log = structlog.get_logger(__name__)

_lost = LostCommands()


@shared_task(name="trading.sweep")
def sweep() -> int:
    """Send again what no matcher has applied, once however often it comes; how many commands.

    A group without a matcher is left out: the next one reads all that is pending when it starts.
    """
    found = _lost.find()
    try:
        found = {group: lost for group, lost in found.items() if client().exists(heartbeat_key(group))}
        if found:
            stream.send(client(), found)
    except redis.RedisError as error:
        log.warning("sweep could not send", error=str(error))
        return 0
    if found:
        log.info("lost commands sent again", **{group: len(batch) for group, batch in found.items()})
    return sum(len(batch) for batch in found.values())


@shared_task(name="trading.ensure_partitions")
def ensure_partitions() -> list[str]:
    """The partitions that were made."""
    created = partitions.ensure(TABLES)
    if created:
        log.info("partitions created", partitions=created)
    return created
