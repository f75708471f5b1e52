"""What is inside the journal: each command once, and just the orders that a matcher has come to."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import psycopg

from exchange.base.database import array as array_literal
from matching.codec import Envelope, decode_envelopes
from matching.core.commands import Place
from trading.verify.check import Finding, Progress, Rule

ORDERS_AT_ONCE = 20_000
BUCKETS = 256

JOURNALLED = Rule(
    "journal_commands", 5, "each command is in the journal once, under a sequence of its own", "commands"
)
PLACED = Rule(
    "journal_orders", 4, "the journal places just the orders that a matcher has come to", "placed orders"
)

# An order that intake rejected was closed as it was made; a matcher closes one later.
_MATCHED = """
    SELECT count(*) FROM trading_order
     WHERE status <> 'PENDING' AND closed_at IS DISTINCT FROM created_at AND id >= retained_from('trading_order')"""
_NOT_MATCHED = """
    SELECT p.id::text, coalesce(o.status, 'not there') FROM unnest(%s::uuid[]) AS p (id)
      LEFT JOIN trading_order o ON o.id = p.id
     WHERE o.id IS NULL OR o.status = 'PENDING' OR o.closed_at = o.created_at ORDER BY 1"""


class Batch(NamedTuple):
    group: str
    first: int
    last: int
    envelopes: list[Envelope]


def batches(connection: psycopg.Connection[Any]) -> Iterator[Batch]:
    """The whole journal, batch by batch: each group's in its order."""
    sql = "SELECT group_id, first_sequence, last_sequence, commands FROM matching_journalbatch ORDER BY id"
    with connection.cursor("journal", binary=True) as cursor:
        cursor.itersize = 100  # each may have a thousand commands
        for group, first, last, commands in cursor.execute(sql):
            yield Batch(group, first, last, decode_envelopes(commands))


class Seen:
    """Which ids came twice, of millions: 8 bytes of each are kept, and compared a bucket at a time."""

    def __init__(self) -> None:
        self._buckets = [array("q") for _ in range(BUCKETS)]

    def add(self, name: tuple[str, str]) -> None:
        fingerprint = hash(name)
        self._buckets[fingerprint % BUCKETS].append(fingerprint)

    def twice(self) -> set[int]:
        found: set[int] = set()
        for bucket in self._buckets:
            if len(set(bucket)) != len(bucket):
                ordered = sorted(bucket)
                found.update(one for one, other in pairwise(ordered) if one == other)
        return found


def check(connection: psycopg.Connection[Any], progress: Progress) -> Iterator[Finding]:
    progress(JOURNALLED.says)
    started = time.monotonic()
    journalled, placed = Finding(JOURNALLED), Finding(PLACED)
    seen = Seen()
    orders: list[str] = []
    kept = retained_from(connection, "trading_order")
    for batch in batches(connection):
        if len(batch.envelopes) != batch.last - batch.first + 1:
            found = len(batch.envelopes)
            journalled.breach(f"group {batch.group}: {found} commands as {batch.first} to {batch.last}")
        for envelope in batch.envelopes:
            seen.add((batch.group, envelope.command.id))
            if isinstance(envelope.command, Place) and envelope.command.id >= kept:
                orders.append(envelope.command.id)
        journalled.count += len(batch.envelopes)
        if len(orders) >= ORDERS_AT_ONCE:
            _check_placed(connection, orders, placed)
    _check_placed(connection, orders, placed)
    _name_repeated(connection, seen.twice(), journalled)
    _check_total(connection, placed)
    journalled.seconds = time.monotonic() - started
    yield journalled
    yield placed


def retained_from(connection: psycopg.Connection[Any], table: str) -> str:
    """The lowest id of the table that is not in an archive (`manage.py retention`)."""
    row = connection.execute("SELECT retained_from(%s)::text", (table,)).fetchone()
    assert row is not None
    return str(row[0])


def _check_placed(connection: psycopg.Connection[Any], orders: list[str], placed: Finding) -> None:
    """A few of many orders: the one place where rows are looked up one by one."""
    placed.count += len(orders)
    connection.execute("SET LOCAL enable_nestloop = on")
    for order, status in connection.execute(_NOT_MATCHED, (array_literal(orders),)).fetchall():
        placed.breach(f"order {order}: placed by the journal, but it is {status}")
    connection.execute("SET LOCAL enable_nestloop = off")
    orders.clear()


def _check_total(connection: psycopg.Connection[Any], placed: Finding) -> None:
    """Each placed order was found to be matched; if they are as many, there is no other."""
    row = connection.execute(_MATCHED).fetchone()
    assert row is not None
    if row[0] != placed.count:
        placed.breach(f"{row[0]} orders are matched, the journal places {placed.count}")


def _name_repeated(connection: psycopg.Connection[Any], fingerprints: set[int], journalled: Finding) -> None:
    """Find where the repeated commands are: a second walk, only when there are any."""
    if not fingerprints:
        return
    first: dict[tuple[str, str], int] = {}
    for batch in batches(connection):
        for sequence, envelope in enumerate(batch.envelopes, batch.first):
            name = (batch.group, envelope.command.id)
            if hash(name) in fingerprints:
                before = first.setdefault(name, sequence)
                if before != sequence:
                    what = f"{type(envelope.command).__name__} {envelope.command.id}"
                    journalled.breach(f"group {batch.group}: {what} at {before} and again at {sequence}")
