"""From what is durable to the matcher: the group's stream, or the inbox table while Redis is away."""

from __future__ import annotations

from collections.abc import Mapping

import redis

from exchange.base.redis import Circuit, client
from matching import stream
from matching.codec import Envelope


class Dispatcher:
    def __init__(self) -> None:
        self._circuit = Circuit()

    def send(self, envelopes: Mapping[str, list[Envelope]]) -> bool:
        """Send each group its commands, in order; True if they went by Redis, else workers poll PostgreSQL."""
        if not envelopes:
            return True
        if not self._circuit.away():
            try:
                stream.send(client(), envelopes)
                self._circuit.works()
                return True
            except redis.RedisError as error:
                self._circuit.failed(error)
        return False
