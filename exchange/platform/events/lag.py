"""How many messages consumer groups have still to handle, for screens.

Each consumer writes to Redis by partition, so that the next owner of one replaces the number; of a group that no
process runs nothing is known after a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import redis
import structlog

from exchange.base.redis import client

KEPT_SECONDS = 20

log = structlog.get_logger(__name__)


def publish(group: str, lags: Mapping[str, int]) -> None:
    """`lags` by partition."""
    mapping: dict[Any, Any] = {**lags}
    if not mapping:
        return
    try:
        with client().pipeline() as pipe:
            pipe.hset(_key(group), mapping=mapping)
            pipe.expire(_key(group), KEPT_SECONDS)
            pipe.execute()
    except redis.RedisError as error:
        log.debug("lag not published", group=group, error=str(error))


def read(groups: Iterable[str]) -> dict[str, int | None]:
    """By group; None where no process consumes, or has published yet. Raises RedisError."""
    names = list(groups)
    with client().pipeline() as pipe:
        for name in names:
            pipe.hvals(_key(name))
        answers: list[Any] = pipe.execute()
    return {name: sum(map(int, lags)) if lags else None for name, lags in zip(names, answers, strict=True)}


def _key(group: str) -> str:
    return f"events:lag:{group}"
