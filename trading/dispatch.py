"""From what is durable to the matcher: the group's stream, or the inbox table while Redis is away."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
import redis

from exchange.redis import Circuit, client
from matching import stream
from matching.codec import Envelope, encode
from matching.core.commands import Place

_TO_INBOX = """
    INSERT INTO trading_pendingcommand (id, "group", order_id, kind, envelope, held, created_at)
    VALUES (%s, %s, %s, 'Place', %s, 0, %s) ON CONFLICT DO NOTHING"""


class Dispatcher:
    def __init__(self) -> None:
        self._circuit = Circuit()

    def send(self, connection: psycopg.Connection[Any], envelopes: Mapping[str, list[Envelope]]) -> bool:
        """Send each group its commands, in order; True if they went by Redis.

        Otherwise the worker polls the inbox: new orders are put there now, all else is there already.
        """
        if not envelopes:
            return True
        if not self._circuit.away():
            try:
                stream.send(client(), envelopes)
                self._circuit.works()
                return True
            except redis.RedisError as error:
                self._circuit.failed(error)
        now = datetime.now(UTC)
        rows = [
            (envelope.command.id, group, envelope.command.id, encode(envelope), now)
            for group, batch in envelopes.items()
            for envelope in batch
            if isinstance(envelope.command, Place)
        ]
        if rows:
            with connection.cursor() as cursor:
                cursor.executemany(_TO_INBOX, rows)
        return False
