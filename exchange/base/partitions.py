"""Range partitions on the primary key, made ahead of need.

Ids are UUIDv7 (see `exchange.base.ids`) or ascending integers, so a range of ids is a range of time and the
primary key stays one column. A table's rules stand in `Partitioned`; `ensure` makes what is missing. Every
table has a default partition too: an insert never fails for want of a partition, it is only slower to clean
up (`misplaced` counts such rows).

Why it is so: docs/decisions/004-partitions-and-ids.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import psycopg
from django.db import IntegrityError, OperationalError, connection, migrations, transaction

from exchange.base import ids

LOCK_SECONDS = 2
BLOCK = 5_000_000  # ids in one partition of a table that is partitioned by integer


class CreatePartitioned(migrations.CreateModel):
    """`CreateModel` for a table that is partitioned by range of its primary key, with its default
    partition."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        plain = schema_editor.sql_create_table
        schema_editor.sql_create_table = f"{plain} PARTITION BY RANGE (id)"
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            schema_editor.sql_create_table = plain
        table = to_state.apps.get_model(app_label, self.name)._meta.db_table
        schema_editor.execute(f'CREATE TABLE "{table}_default" PARTITION OF "{table}" DEFAULT')


@dataclass(frozen=True)
class Partitioned:
    """How one table is cut. `extra` is SQL run for each new partition, `{partition}` standing for its
    name."""

    table: str
    span: Literal["day", "month", "block"]
    extra: tuple[str, ...] = ()
    options: str = ""


@dataclass(frozen=True)
class Partition:
    name: str
    lower: str
    upper: str


AHEAD = {"day": 3, "month": 1, "block": 1}  # each statement looks at all partitions, so no more than needed


def ensure(tables: list[Partitioned], *, ahead: int | None = None, dry_run: bool = False) -> list[str]:
    """Create the missing partitions of now and of the next `ahead` spans (else `AHEAD`); their names.

    A span whose rows went into the default partition already stays there: it is left out, and `misplaced` lists it.
    """
    created = []
    for table in tables:
        existing = _existing(table.table)
        spans = AHEAD[table.span] if ahead is None else ahead
        for partition in _wanted(table, datetime.now(UTC), spans):
            if partition.name not in existing and (dry_run or _create(table, partition)):
                created.append(partition.name)
    return created


def misplaced(tables: list[Partitioned]) -> dict[str, int]:
    """Rows that fell into a default partition, by table."""
    found = {}
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT count(*) FROM {table.table}_default")  # noqa: S608
            found[table.table] = cursor.fetchone()[0]
    return {table: count for table, count in found.items() if count}


def blocks(table: str) -> list[str]:
    """The partitions of a table that is cut by blocks of ids, oldest first, without the one that is written to now and
    those after it."""
    current = _block_name(table, _last_id(table) // BLOCK)
    pattern = re.compile(rf"{table}_\d+")
    return sorted(name for name in _existing(table) if pattern.fullmatch(name) and name < current)


def drop(partition: str, *, unless: str) -> bool:
    """Drop a partition with its rows. False if the query `unless` has a row, or if the table is in use for too long."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            cursor.execute(f"LOCK TABLE {partition} IN ACCESS EXCLUSIVE MODE")
            cursor.execute(f"SELECT EXISTS ({unless})")
            if cursor.fetchone()[0]:
                return False
            cursor.execute(f"DROP TABLE {partition}")
    except OperationalError as error:
        if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise
        return False
    return True


def _block_name(table: str, block: int) -> str:
    return f"{table}_{block:06d}"


def _create(table: Partitioned, partition: Partition) -> bool:
    """False if rows of its range are in the default partition, or if the table is in use for too long.

    Attaching a partition locks out all other sessions: behind a long read, all inserts would wait with us.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            cursor.execute(
                f"CREATE TABLE {partition.name} PARTITION OF {table.table} "
                f"FOR VALUES FROM ('{partition.lower}') TO ('{partition.upper}') {table.options}"
            )
            for sql in table.extra:
                cursor.execute(sql.format(partition=partition.name))
    except IntegrityError:
        return False
    except OperationalError as error:
        if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise
        return False
    return True


def _existing(table: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relid::regclass::text FROM pg_partition_tree(%s) WHERE level = 1", [table])
        return {name for (name,) in cursor.fetchall()}


def _wanted(table: Partitioned, now: datetime, ahead: int) -> Iterator[Partition]:
    if table.span == "block":
        first = _last_id(table.table) // BLOCK
        for block in range(first, first + ahead + 1):
            yield Partition(_block_name(table.table, block), str(block * BLOCK), str((block + 1) * BLOCK))
        return
    start = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if table.span == "month":
        start = start.replace(day=1)
    for _ in range(ahead + 1):
        end = (
            start + timedelta(days=1) if table.span == "day" else (start + timedelta(days=32)).replace(day=1)
        )
        label = start.strftime("%Y_%m_%d" if table.span == "day" else "%Y_%m")
        yield Partition(f"{table.table}_{label}", str(ids.floor(start)), str(ids.floor(end)))
        start = end


def _last_id(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT coalesce(max(id), 0) FROM {table}")  # noqa: S608
        return int(cursor.fetchone()[0])
