"""Seals all again under the key that writes: each `EncryptedTextField` of every model, and the digests beside them.

Rows are read by primary key in batches, each batch one transaction: killed at any time, what is done is done, and the
next run goes on with what is left. A row that another process changes meanwhile is not overwritten: it is sealed with
the new key anyway, or found by the next run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.apps import apps
from django.db import connection, transaction

from exchange.base import encryption
from exchange.base.encryption import EncryptedTextField, Unreadable

BATCH = 500

Progress = Callable[[str], None]


class Column(NamedTuple):
    place: str  # table.column
    table: str
    column: str
    digest: str  # the column beside it, if there is one
    key: str  # the primary key's column


class Outcome(NamedTuple):
    """Of one column: sealed values, those under another key than the one that writes, those that do not open."""

    place: str
    values: int
    old: int
    unreadable: int
    first_unreadable: str


def columns() -> list[Column]:
    found = []
    for model in apps.get_models():
        meta: Any = model._meta
        for field in meta.local_concrete_fields:
            if isinstance(field, EncryptedTextField):
                digest = meta.get_field(field.digest_field).column if field.digest_field else ""
                found.append(Column(field.place, meta.db_table, str(field.column), digest, meta.pk.column))
    return sorted(found)


def rotate(progress: Progress, *, dry_run: bool) -> Iterator[Outcome]:
    for column in columns():
        progress(column.place)
        yield _column(column, progress, dry_run=dry_run)


def _column(column: Column, progress: Progress, *, dry_run: bool) -> Outcome:
    values, old = _count(column)
    last: Any = None
    done, unreadable, first = 0, 0, ""
    while True:
        with transaction.atomic():
            rows = _batch(column, last)
            for key, text in rows:
                try:
                    plain = encryption.unseal(text, column.place)
                except Unreadable as error:
                    unreadable += 1
                    first = first or f"{column.table} {key}: {error}"
                    continue
                if not dry_run:
                    _write(column, key, text, plain)
        if not rows:
            return Outcome(column.place, values, old, unreadable, first)
        last, done = rows[-1][0], done + len(rows)
        progress(f"{column.place}: {done} of {old}")


def _count(column: Column) -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), count(*) FILTER (WHERE {_old(column)}) FROM {column.table}"  # noqa: S608
            f" WHERE {column.column} <> ''",
            [_newest()],
        )
        values, old = cursor.fetchone()
        return values, old


def _batch(column: Column, last: Any) -> list[tuple[Any, str]]:
    """Keys and sealed texts of the next rows that are under another key."""
    after = f"AND {column.key} > %s" if last is not None else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {column.key}, {column.column} FROM {column.table}"  # noqa: S608 - names are the models'
            f" WHERE {column.column} <> '' AND {_old(column)} {after} ORDER BY {column.key} LIMIT {BATCH}",
            [_newest(), *([last] if last is not None else [])],
        )
        return list(cursor.fetchall())


def _write(column: Column, key: Any, old: str, plain: str) -> None:
    """Unless another process has written it meanwhile."""
    assignments, values = f"{column.column} = %s", [encryption.seal(plain, column.place)]
    if column.digest:
        assignments += f", {column.digest} = %s"
        values.append(encryption.digest(plain, column.place))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {column.table} SET {assignments}"  # noqa: S608 - names are the models'
            f" WHERE {column.key} = %s AND {column.column} = %s",
            [*values, key, old],
        )


def _old(column: Column) -> str:
    return f"NOT starts_with({column.column}, %s)"


def _newest() -> str:
    return f"{encryption.writing_key()}:"
