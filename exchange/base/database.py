"""The one way to write in bulk: a PostgreSQL transaction with COPY and pipelined statements.

`transaction()` opens it, at the edge: the caller's first line. What is inside gets the `Transaction` as an
argument and so cannot run without one. Statements that nothing waits for are queued and go to the server
together (libpq's pipeline mode). COPY can't be pipelined, so a queue is flushed before it; a few lines are
inserted instead: a round trip costs more than they do.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from django.db import connections

NULL = r"\N"  # as a COPY field
FEW = 32  # lines that are inserted in the pipeline instead of a COPY of their own
STATEMENTS = 1000  # prepared on a connection: an INSERT has one for each number of lines


class Unexpected(psycopg.errors.SerializationFailure):
    """A statement changed another number of rows than the caller knows it must."""


class Transaction:
    """An open transaction on one psycopg connection in autocommit mode."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._queue: list[tuple[str, Sequence[Any], int | None]] = [("BEGIN", (), None)]

    def queue(self, sql: str, params: Sequence[Any] = (), *, expect: int | None = None) -> None:
        """Run `sql` with what is flushed next; raises `Unexpected` then if it changed other than `expect`
        rows."""
        self._queue.append((sql, params, expect))

    def fetch(self, *statements: tuple[str, Sequence[Any]]) -> list[list[tuple[Any, ...]]]:
        """Flush the queue and run `statements` in the same round trip; their rows, one list each."""
        queue, self._queue = self._queue, []
        with self._connection.pipeline():
            queued = [self._run(sql, params) for sql, params, _ in queue]
            wanted = [self._run(sql, params) for sql, params in statements]
        for cursor, (sql, _, expect) in zip(queued, queue, strict=True):
            if expect is not None and cursor.rowcount != expect:
                raise Unexpected(f"{cursor.rowcount} rows instead of {expect}: {sql}")
        return [cursor.fetchall() for cursor in wanted]

    def copy(self, table: str, columns: str, lines: Sequence[str]) -> None:
        """COPY ready-made text lines (tab-separated, each ended by a newline) into `table`; a few of them with
        what is flushed next."""
        if not lines:
            return
        if len(lines) <= FEW:
            values = [_value(part) for line in lines for part in line[:-1].split("\t")]
            self.queue(_insert(table, columns, len(lines)), values)
            return
        self.flush()
        with self._connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as target:
            target.write("".join(lines))

    def flush(self) -> None:
        if self._queue:
            self.fetch()

    def commit(self) -> None:
        """Raises `Unexpected` before it commits."""
        if any(expect is not None for _, _, expect in self._queue):
            self.flush()
        self.queue("COMMIT")
        self.flush()

    def _run(self, sql: str, params: Sequence[Any]) -> psycopg.RawCursor[Any]:
        cursor = psycopg.RawCursor(self._connection)
        return cursor.execute(_native(sql), params, prepare=True) if params else cursor.execute(sql)


@contextmanager
def transaction(connection: psycopg.Connection[Any]) -> Iterator[Transaction]:
    """Commit when the block ends, roll back when it raises. Errors are psycopg's, unchanged."""
    opened = Transaction(connection)
    try:
        yield opened
        opened.commit()
    except BaseException:
        if not connection.closed:
            connection.execute("ROLLBACK")
        raise


def connect(name: str) -> psycopg.Connection[Any]:
    """A new autocommit connection to the default database, outside Django's own, for a long-lived loop."""
    wrapper = connections["default"]
    params = wrapper.get_connection_params()
    for own in ("cursor_factory", "context", "prepare_threshold"):
        params.pop(own, None)
    params["application_name"] = name
    connection = psycopg.connect(**params, autocommit=True)
    connection.prepared_max = STATEMENTS
    return connection


def own_connection() -> psycopg.Connection[Any]:
    """This thread's Django connection, for a `transaction()`; there must be no `atomic` block around it."""
    wrapper = connections["default"]
    assert not wrapper.in_atomic_block, "bulk writes open their own transaction"
    wrapper.ensure_connection()
    return wrapper.connection


def escape(text: str | None) -> str:
    r"""`text` as a COPY field: backslash, tab and line ends escaped, None as \N."""
    if text is None:
        return NULL
    if "\\" in text or "\t" in text or "\n" in text or "\r" in text:
        return text.replace("\\", r"\\").replace("\t", r"\t").replace("\n", r"\n").replace("\r", r"\r")
    return text


@lru_cache
def _insert(table: str, columns: str, rows: int) -> str:
    row = f"({', '.join(['%s'] * (columns.count(',') + 1))})"
    return f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * rows)}"  # noqa: S608 - names are ours


@lru_cache(STATEMENTS)
def _native(sql: str) -> str:
    """`sql` with PostgreSQL's own $1 for %s: psycopg would translate a long statement each time."""
    numbers = itertools.count(1)
    return re.sub("%[s%]", lambda found: f"${next(numbers)}" if found[0] == "%s" else "%", sql)


def _value(part: str) -> str | None:
    """What `escape` made of it."""
    if "\\" not in part:
        return part
    return None if part == NULL else _ESCAPED.sub(lambda found: _CHARACTERS[found[1]], part)


_CHARACTERS = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}
_ESCAPED = re.compile(r"\\(.)")


def array(values: Iterable[object]) -> str:
    """A PostgreSQL array literal of values that need no quoting: numbers, ids, words."""
    return "{" + ",".join(map(str, values)) + "}"
