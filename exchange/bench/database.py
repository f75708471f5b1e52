"""What PostgreSQL says of a load: fills, batches, and that what was acknowledged is there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg

from exchange.base import ids

Connection = psycopg.Connection[Any]


class Mark(NamedTuple):
    """A moment in the database's rows: those written before and after it differ by id."""

    moment: datetime
    outbox: int

    @classmethod
    def now(cls, connection: Connection) -> Mark:
        return cls(
            datetime.now(UTC), _number(connection, "SELECT coalesce(max(id), 0) FROM events_outboxevent")
        )


class Window(NamedTuple):
    """All rows between two marks."""

    begin: Mark
    end: Mark

    @property
    def ids(self) -> tuple[str, str]:
        """Orders, trades and postings of the window are in this half-open range of ids."""
        return str(ids.floor(self.begin.moment)), str(ids.floor(self.end.moment))

    @property
    def outbox(self) -> tuple[int, int]:
        return self.begin.outbox + 1, self.end.outbox + 1


def fills(connection: Connection, window: Window) -> int:
    return _number(connection, "SELECT count(*) FROM trading_trade WHERE id >= %s AND id < %s", *window.ids)


def stored(connection: Connection, prefix: str) -> int:
    """Orders whose client_order_id begins with `prefix`."""
    return _number(
        connection, "SELECT count(*) FROM trading_order WHERE client_order_id LIKE %s", prefix + "%"
    )


def intakes(connection: Connection, window: Window) -> tuple[int, int]:
    """Intake transactions that stored orders (each gives its orders one time), and how many orders."""
    return _pair(
        connection,
        "SELECT count(DISTINCT created_at), count(*) FROM trading_order WHERE id >= %s AND id < %s",
        *window.ids,
    )


def settlements(connection: Connection, window: Window) -> tuple[int, int]:
    """Settlement transactions, and how many commands they settled."""
    return _pair(
        connection,
        """SELECT count(*), coalesce(sum(last_sequence - first_sequence + 1), 0) FROM matching_journalbatch
            WHERE created_at >= %s AND created_at < %s""",
        window.begin.moment,
        window.end.moment,
    )


def _number(connection: Connection, sql: str, *params: object) -> int:
    row = connection.execute(sql, params).fetchone()
    assert row is not None
    return int(row[0])


def _pair(connection: Connection, sql: str, *params: object) -> tuple[int, int]:
    row = connection.execute(sql, params).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
