"""From the outbox to Kafka: each event at least once, those of one key in order.

One relay at a time sends: the one that holds the lock on the one row of `RelayPosition`; others stand by. It takes
what is pending in the order of ids, sends it, waits until the cluster has acknowledged it and marks it, all in one
transaction. Killed in between, the next one sends the same again.

    an event that the cluster refuses   is tried again, alone, with back-off, and holds back the later ones of
                                        its topic and key; after TRIES it is FAILED and an operator decides
    a cluster that is away              is no event's fault: the relay as a whole waits, nothing is counted

"In order" is the order of commits: of two transactions that were open at the same time, and so knew nothing of each
other, either may come first.

Why it is so: docs/decisions/009-outbox-and-relay.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import psycopg
import structlog
from confluent_kafka import KafkaException

from exchange.base import metrics
from exchange.platform.events.low_watermark import Floor, lower
from exchange.platform.events.sender import Row, Sender

BATCH = 2000
TRIES = 10
RETRIES_AT_ONCE = 20  # events that are sent alone
FIRST_DELAY, LONGEST_DELAY = 0.5, 300.0  # seconds until a refused event is tried again; doubled each time
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0  # seconds until an absent cluster is asked again; doubled each time
PROBE = 1.0  # seconds for it to answer then

# A relay that was stopped in the middle of a batch loses the word to another after that time.
_SESSION = "SET idle_in_transaction_session_timeout = '30s'"
# Marks that a crash of the database takes back only have events sent again, so their commits wait for no disk.
_BEGIN = "SET LOCAL synchronous_commit = off"
_HELD = """
    SELECT DISTINCT ON (topic, key) id, topic, key, status = 'PENDING' AND next_try_at <= now()
      FROM events_outboxevent WHERE published_at IS NULL AND tries > 0 ORDER BY topic, key, id"""
# The first of its key? An earlier one that was never refused goes first, with the others.
_DUE = """
    SELECT id, topic, key, message, tries FROM events_outboxevent AS event
     WHERE id = %s AND NOT EXISTS (SELECT FROM events_outboxevent AS earlier
                                    WHERE published_at IS NULL AND earlier.id < event.id
                                      AND (earlier.topic, earlier.key) = (event.topic, event.key))"""
_FRESH = """
    SELECT id, topic, key, message, tries FROM events_outboxevent AS event
     WHERE published_at IS NULL AND tries = 0 AND id > %s {but} ORDER BY id LIMIT %s"""
_BUT_HELD = """
    AND NOT EXISTS (SELECT FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS held (id, topic, key)
                     WHERE held.topic = event.topic AND held.key = event.key AND held.id < event.id)"""
_ARRIVED = """
    UPDATE events_outboxevent
       SET status = 'PUBLISHED', published_at = clock_timestamp(), next_try_at = NULL, reason = ''
     WHERE id BETWEEN %s AND %s AND id = ANY (%s)"""
_REFUSED = """
    UPDATE events_outboxevent
       SET tries = %s, status = %s, reason = %s, next_try_at = clock_timestamp() + make_interval(secs => %s)
     WHERE id = %s"""

log = structlog.get_logger(__name__)


class Held(NamedTuple):
    """The first refused event of a key; `due`: to be tried again now."""

    id: int
    topic: str
    key: str
    due: bool


class Relay:
    """Not for several threads. `connect` gives an autocommit connection of its own; `found` is called when the
    cluster answers, for the first time or after it was away."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        sender: Sender,
        found: Callable[[], object] = lambda: None,
    ) -> None:
        self._connect = connect
        self._sender = sender
        self._found = found
        self._connection: psycopg.Connection[Any] | None = None
        self._floor = Floor()
        self._pause = FIRST_PAUSE  # seconds, while the cluster is away; not yet found
        self._ask_again = 0.0
        self._told = False

    @property
    def away(self) -> bool:
        """Whether the cluster did not answer the last time."""
        return self._pause > 0

    def batch(self) -> int:
        """Send what is pending, at most BATCH events; how many arrived. Raises psycopg.Error, then begin again."""
        if self.away and not self._answers():
            return 0
        if self._connection is None:
            self._connection = self._connect()
            self._connection.execute(_SESSION)
        try:
            with self._connection.transaction():
                return self._relay(self._connection)
        except psycopg.Error:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _relay(self, connection: psycopg.Connection[Any]) -> int:
        connection.execute(_BEGIN)
        floor = self._floor.take(connection)
        if floor is None:
            return 0
        held = [Held(*row) for row in connection.execute(_HELD)]
        rows = _fresh(connection, floor, held)
        arrived = self._send(connection, rows) if rows else 0
        if arrived == len(rows):
            self._floor.done(connection, rows[-1].id if rows else 0, all_sent=len(rows) < BATCH)
        for refused in [each.id for each in held if each.due][:RETRIES_AT_ONCE]:
            row = None if self.away else connection.execute(_DUE, [refused]).fetchone()
            if row is not None and self._send(connection, [Row(*row)]):
                lower(connection, refused)
                arrived += 1
        return arrived

    def _send(self, connection: psycopg.Connection[Any], rows: Sequence[Row]) -> int:
        outcome = self._sender.send(rows)
        if outcome.arrived:
            first, last = outcome.arrived[0], outcome.arrived[-1]
            connection.execute(_ARRIVED, [first, last, outcome.arrived])
            metrics.events_relayed.inc(len(outcome.arrived))
        for row in rows:
            if row.id in outcome.refused:
                _refused(connection, row, outcome.refused[row.id])
        if outcome.cut_off and not outcome.refused:  # else it was cut off because of those
            self._lost(outcome.cut_off)
        return len(outcome.arrived)

    def _lost(self, reason: str) -> None:
        if not self._told:
            self._told = True
            log.warning("kafka is away", reason=reason)
        self._pause = min(self._pause * 2, LONGEST_PAUSE) or FIRST_PAUSE
        self._ask_again = time.monotonic() + self._pause

    def _answers(self) -> bool:
        """Ask an absent cluster, if it is time to."""
        if time.monotonic() < self._ask_again:
            return False
        try:
            self._sender.ask(PROBE)
            self._found()
        except KafkaException as error:
            self._lost(error.args[0].str())
            return False
        self._pause = 0.0
        self._told = False
        log.info("kafka answers")
        return True


def _fresh(connection: psycopg.Connection[Any], floor: int, held: Sequence[Held]) -> list[Row]:
    but = [
        [each.id for each in held],
        [each.topic for each in held],
        [each.key for each in held],
    ]
    sql = _FRESH.format(but=_BUT_HELD if held else "")
    cursor = connection.execute(sql, [floor, *(but if held else []), BATCH], prepare=True)
    return [Row(*row) for row in cursor.fetchall()]


def _refused(connection: psycopg.Connection[Any], row: Row, reason: str) -> None:
    tries = row.tries + 1
    failed = tries >= TRIES
    delay = min(FIRST_DELAY * 2**row.tries, LONGEST_DELAY)
    connection.execute(
        _REFUSED, [tries, "FAILED" if failed else "PENDING", reason[:200], 0 if failed else delay, row.id]
    )
    metrics.events_refused.inc()
    write = log.error if failed else log.warning
    write(
        "event failed" if failed else "event refused", id=row.id, topic=row.topic, tries=tries, reason=reason
    )
