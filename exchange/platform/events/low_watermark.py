"""Where the relay begins to look, so that it does not walk over the index entries of all that was sent before.

Ids are given before transactions commit, so a lower one may come after a higher one was seen. An id becomes the floor
when every transaction that could have taken a lower one has ended, and one more look after that found nothing
left below.

Why it is so: docs/decisions/009-outbox-and-relay.md.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Protocol

import psycopg

STEP = 1.0  # seconds between two candidates
LAG = 5.0  # seconds until one may count: a transaction has its ids a moment before it has a number of its own

_TAKE = """
    SELECT floor, pg_snapshot_xmin(now)::text::bigint, pg_snapshot_xmax(now)::text::bigint
      FROM events_relayposition, pg_current_snapshot() AS now FOR UPDATE OF events_relayposition SKIP LOCKED"""
_MAKE = "INSERT INTO events_relayposition (id, floor) VALUES (1, 0) ON CONFLICT DO NOTHING"
_RAISE = "UPDATE events_relayposition SET floor = %s WHERE floor < %s"
_LOWER = "UPDATE events_relayposition SET floor = least(floor, %s)"


class Floor:
    def __init__(self) -> None:
        self._candidates: deque[tuple[float, int, int]] = deque()  # when, transactions below, id
        self._last = 0
        self._next = 0

    def take(self, connection: psycopg.Connection[Any]) -> int | None:
        """Lock the position until the transaction ends; the floor. None: another relay has it."""
        row = connection.execute(_TAKE, prepare=True).fetchone()
        if row is None and connection.execute(_MAKE).rowcount:
            row = connection.execute(_TAKE, prepare=True).fetchone()
        if row is None:
            return None
        floor, oldest, newest = row
        now = time.monotonic()
        if self._last and (not self._candidates or now > self._candidates[-1][0] + STEP):
            self._candidates.append((now, newest, self._last))
        while self._candidates and self._candidates[0][0] < now - LAG and self._candidates[0][1] <= oldest:
            self._next = self._candidates.popleft()[2]
        return int(floor)

    def done(self, connection: psycopg.Connection[Any], last: int, *, all_sent: bool) -> None:
        """What there was from the floor to `last` (0: nothing) has been sent; `all_sent`: and there was no more."""
        if self._next and (all_sent or self._next <= last):
            connection.execute(_RAISE, [self._next, self._next])
            self._next = 0
        self._last = max(self._last, last)


class Executes(Protocol):
    def execute(self, query: Any, params: Any = ..., /) -> object: ...


def lower(cursor: Executes, below: int) -> None:
    """There may be something to send above `below`. Waits for the batch of a relay to end, and the next one waits
    for this transaction."""
    cursor.execute(_MAKE)
    cursor.execute(_LOWER, [below])
