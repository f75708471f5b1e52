"""How the stream process learns of a notification: one message each on Redis' channel `notifications`.

Redis may lose it. A stream process begins with the last ones that PostgreSQL has, and again whenever
the subscription was broken.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import redis

from exchange.base import redis_keys
from exchange.base.redis import Circuit, client


class Note(msgspec.Struct, frozen=True):
    """A notification as it is shown. What is in `data` depends on the kind; amounts are decimals as text."""

    notification_id: str
    kind: str
    event_id: str
    data: dict[str, str]
    created_at: str


class FeedNote(msgspec.Struct, frozen=True):
    """`note` is for the user `user_id`."""

    user_id: str
    note: Note


decode = msgspec.json.Decoder(FeedNote).decode
_encode = msgspec.json.Encoder().encode
_circuit = Circuit()


def publish(notes: Iterable[FeedNote]) -> None:
    """After the commit. Those who follow see it at their next look if Redis is away."""
    if _circuit.away():
        return
    try:
        with client().pipeline(transaction=False) as pipe:
            for each in notes:
                pipe.publish(redis_keys.NOTIFICATIONS, _encode(each))
            pipe.execute()
        _circuit.works()
    except redis.RedisError as error:
        _circuit.failed(error)
