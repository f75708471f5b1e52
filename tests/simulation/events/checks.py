"""What must hold at rest. Truth is PostgreSQL: the outbox says what was to be sent, the trades what was to be counted.

Order: the ids of the outbox are in the order of events for one writer, so per market (trades, books, prices) and per
order. Of one user two writers can be at work at the same time, and then either may come first.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

from exchange.platform.events.topics import BOOKS, ORDERS, PRICES, TRADES
from tests.simulation.events.recorder import Recorder, Seen

REST_SECONDS = 120.0
SHOWN = 5  # problems of one kind

_NEW = """
    SELECT id, topic, key, message::json->>'event_id', message::json->>'event_type',
           message::json->'payload'->>'order_id', published_at IS NOT NULL
      FROM events_outboxevent WHERE id > %s ORDER BY id"""

_WANTED = """
    SELECT count(*) FROM events_outboxevent
     WHERE (topic, message::json->>'event_type') IN (SELECT * FROM unnest(%s::text[], %s::text[]))"""

_VOLUMES = """
    WITH sides AS (
        SELECT executed_at, instrument_id, buyer_id AS "user", price * quantity AS bought, 0 AS sold
          FROM trading_trade
         UNION ALL
        SELECT executed_at, instrument_id, seller_id, 0, price * quantity FROM trading_trade),
    truth AS (
        SELECT (executed_at AT TIME ZONE 'UTC')::date AS day, symbol, "user", count(*) AS trades,
               sum(bought) AS bought, sum(sold) AS sold
          FROM sides JOIN trading_instrument i ON i.id = instrument_id GROUP BY 1, 2, 3),
    counted AS (
        SELECT day, symbol, "user", sum(trades) AS trades, sum(bought_notional) AS bought, sum(sold_notional) AS sold
          FROM analytics_dailyvolume GROUP BY 1, 2, 3)
    SELECT day, symbol, "user", truth.trades, counted.trades
      FROM truth FULL JOIN counted USING (day, symbol, "user")
     WHERE (truth.trades, truth.bought, truth.sold) IS DISTINCT FROM (counted.trades, counted.bought, counted.sold)"""


class Row(NamedTuple):
    """An event of the outbox."""

    id: int
    topic: str
    key: str
    event_id: str
    event_type: str
    order_id: str | None
    published: bool

    @property
    def order_kept(self) -> tuple[str, str] | None:
        """What this must be in order within; None where there is nothing to say."""
        if self.topic in (TRADES, BOOKS, PRICES):
            return self.topic, self.key
        return (self.topic, self.order_id) if self.topic == ORDERS and self.order_id else None


class Checks:
    """`handlers`: the (topic, event type) that each consumer group handles."""

    def __init__(
        self, url: str, recorder: Recorder, handlers: Mapping[str, Sequence[tuple[str, str]]]
    ) -> None:
        self._handlers = handlers
        self._url = url
        self._recorder = recorder
        self.seen = 0  # messages, of rounds that were checked
        self._last = 0  # id of the last event of those rounds
        self.events = 0

    def wait_rest(self) -> str:
        """Until everything is sent, seen and handled; what is not after a while, else nothing."""
        deadline, pause = time.monotonic() + REST_SECONDS, threading.Event()
        while undone := self._undone():
            if time.monotonic() > deadline:
                return undone
            pause.wait(0.2)
        return ""

    def problems(self, *, repeated: bool) -> Iterator[str]:
        """Of this round; `repeated`: Kafka lost its memory and everything was sent again."""
        with psycopg.connect(self._url) as connection:
            rows = self._rows(connection)
            yield from _few("wrong volume", connection.execute(_VOLUMES).fetchall())
        seen = self._recorder.seen[self.seen :]
        yield from _few("out of order", out_of_order(rows, seen, last=repeated))
        if self._recorder.letters:
            yield f"{self._recorder.letters} dead letters"
        self.seen += len(seen)
        self._last = rows[-1].id if rows else self._last
        self.events += len(rows)

    def _undone(self) -> str:
        try:
            with psycopg.connect(self._url, connect_timeout=5) as connection:
                rows = self._rows(connection)
                behind = {group: self._behind(connection, group) for group in self._handlers}
        except psycopg.OperationalError as error:
            return f"PostgreSQL: {str(error).strip()}"
        seen = {each.event_id for each in self._recorder.seen[self.seen :]}
        unsent = [row.id for row in rows if not row.published]
        unseen = [row.id for row in rows if row.event_id not in seen]
        late = {group: count for group, count in behind.items() if count}
        if not (unsent or unseen or late):
            return ""
        return f"of {len(rows)} events {len(unsent)} not sent, {len(unseen)} not seen {unseen[:3]}; not handled {late}"

    def _rows(self, connection: psycopg.Connection[Any]) -> list[Row]:
        return [Row(*row) for row in connection.execute(_NEW, [self._last])]

    def _behind(self, connection: psycopg.Connection[Any], group: str) -> int:
        """Events that the group has not handled; below zero: more than there are."""
        topics, types = zip(*self._handlers[group], strict=True)
        wanted = connection.execute(_WANTED, [list(topics), list(types)]).fetchone()
        handled = connection.execute(
            'SELECT count(*) FROM events_handledevent WHERE "group" = %s', [group]
        ).fetchone()
        assert wanted is not None and handled is not None
        return int(wanted[0] - handled[0])


def out_of_order(rows: Sequence[Row], seen: Sequence[Seen], *, last: bool) -> Iterator[str]:
    """Events that came after a later one of theirs. An event that came more than once counts when it came first, or
    when it came `last`: of a repetition from the middle only the end is in order."""
    known = {row.event_id: row for row in rows}
    ids = [each.event_id for each in seen if each.event_id in known]
    once = reversed(dict.fromkeys(reversed(ids))) if last else dict.fromkeys(ids)
    latest: dict[tuple[str, str], Row] = {}
    for row in (known[event_id] for event_id in once):
        within = row.order_kept
        if within is None:
            continue
        if within in latest and latest[within].id > row.id:
            yield f"{row.topic} {within[1]}: {row.id} after {latest[within].id}"
        latest[within] = row


def _few(what: str, found: Iterable[Any]) -> Iterator[str]:
    grouped: dict[str, list[Any]] = defaultdict(list)
    for each in found:
        grouped[what].append(each)
    for name, all_of_it in grouped.items():
        yield f"{len(all_of_it)} × {name}: {all_of_it[:SHOWN]}"
