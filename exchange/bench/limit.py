"""The limit: how fast PostgreSQL alone would take the very rows that the batch load left there.

A bare COPY of its order, trade, posting and outbox rows, in their last state, into tables with the same
columns, defaults, checks and indexes (`LIKE … INCLUDING ALL` of the partitions they are in) and without
triggers, on one connection, with no load. A transaction has as many commands as a settlement had, four COPYs
and a commit. What the order path does beyond that (keys, holds, updates of orders, balances, journal, inbox)
is what the ratio shows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import islice

from psycopg import sql

from exchange.bench import database
from exchange.bench.database import Connection, Window
from exchange.bench.result import Result, at_least

SCHEMA = sql.Identifier("bench_limit")
MOST_ORDERS = 40_000
RATIO = 0.4
BY_ID = ("trading_order", "trading_trade", "trading_posting")
OUTBOX = "events_outboxevent"


def run(connection: Connection, window: Window, batch: Result) -> Result:
    """`batch` is the load's result, `window` its rows."""
    transactions, commands = database.settlements(connection, window)
    share = min(1.0, MOST_ORDERS / max(1, commands))
    rows = {table: _rows(connection, table, window, share) for table in (*BY_ID, OUTBOX)}
    orders = len(rows["trading_order"])
    chunks = max(1, round(transactions * share))
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(SCHEMA))
    try:
        for table in rows:
            _create_like(connection, table, window)
        seconds = _copy(connection, rows, chunks)
    finally:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(SCHEMA))
    speed = orders / seconds
    ratio = batch.orders_per_second / speed if speed else 0.0
    figures = {f"rows of {table}": float(len(lines)) for table, lines in rows.items()}
    return Result(
        name="limit",
        what="bare COPY of the batch load's order, trade, posting and outbox rows into tables with the same "
        "checks and indexes but no triggers; one connection, a commit for each settlement the load had",
        seconds=seconds,
        connections=1,
        orders_per_second=speed,
        figures={**figures, "commits": float(chunks), "batch orders/s ÷ limit orders/s": ratio},
        targets=[at_least("batch ÷ limit", RATIO, ratio)],
    )


def _rows(connection: Connection, table: str, window: Window, share: float) -> list[bytes]:
    """The first `share` of the window's rows, as COPY lines in the order of their ids."""
    lower, upper = window.outbox if table == OUTBOX else window.ids
    row = connection.execute(_select("count(*)", table), [lower, upper]).fetchone()
    assert row is not None
    query = sql.SQL("COPY ({} ORDER BY id LIMIT {}) TO STDOUT").format(
        _select("*", table), math.ceil(row[0] * share)
    )
    with connection.cursor().copy(query, [lower, upper]) as source:
        return [bytes(line) for line in source]


def _select(what: str, table: str) -> sql.Composed:
    return sql.SQL("SELECT {} FROM {} WHERE id >= %s AND id < %s").format(
        sql.SQL(what), sql.Identifier(table)
    )


def _create_like(connection: Connection, table: str, window: Window) -> None:
    """An empty table like the partition that the rows are in, with its storage parameters."""
    lower, upper = window.outbox if table == OUTBOX else window.ids
    found = connection.execute(
        sql.SQL(
            "SELECT relname, array_to_string(reloptions, ', ') FROM pg_class "
            "WHERE oid = coalesce(({} LIMIT 1), to_regclass(%s))"
        ).format(_select("tableoid", table)),
        [lower, upper, table],
    ).fetchone()
    assert found is not None
    like, options = found
    connection.execute(
        sql.SQL("CREATE TABLE {}.{} (LIKE {} INCLUDING ALL){}").format(
            SCHEMA,
            sql.Identifier(table),
            sql.Identifier(like),
            sql.SQL(f" WITH ({options})" if options else ""),
        )
    )


def _copy(connection: Connection, rows: dict[str, list[bytes]], chunks: int) -> float:
    """Seconds it takes to write all rows in so many transactions."""
    statements = {
        table: sql.SQL("COPY {}.{} FROM STDIN").format(SCHEMA, sql.Identifier(table)).as_string(connection)
        for table in rows
    }
    prepared = list(zip(*(_chunks(lines, chunks) for lines in rows.values()), strict=True))
    cursor = connection.cursor()
    started = time.perf_counter()
    for parts in prepared:
        connection.execute("BEGIN")
        for statement, part in zip(statements.values(), parts, strict=True):
            with cursor.copy(statement) as target:
                target.write(part)
        connection.execute("COMMIT")
    return time.perf_counter() - started


def _chunks(lines: list[bytes], count: int) -> Iterator[bytes]:
    """`lines` joined into `count` pieces of about the same number of them."""
    rest, taken = iter(lines), 0
    for number in range(1, count + 1):
        upto = len(lines) * number // count
        yield b"".join(islice(rest, upto - taken))
        taken = upto
