"""What is due goes to a file that is checked, and then from the database.

    write, unless it is there → read it again → lock out writers → are the rows those of the file? → record, drop: one
    transaction

Killed at any point, the next run finds the partition, with or without its file, or neither of them to do
(docs/decisions/018).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

from exchange.base.partitions import LOCK_SECONDS
from exchange.platform.audit import archive_files, archives, sealing
from exchange.platform.audit.archive_files import Damaged, Manifest
from exchange.platform.audit.log import record
from trading.retention.rules import Unit, due

_RUNS = """
    INSERT INTO audit_archived (chain, first, last, before, hash, archive) VALUES (%s, %s, %s, %s, %s, %s)"""
_ARCHIVE = """
    INSERT INTO audit_archive (name, source, lower, upper, rows, digest) VALUES (%s, %s, %s, %s, %s, %s)"""

Progress = Callable[[str], None]


class Outcome(NamedTuple):
    """`kept` says why it is still there; empty where it was archived (or would be)."""

    name: str
    rows: int
    kept: str


def archive_due(folder: Path, now: datetime, progress: Progress, *, dry_run: bool) -> list[Outcome]:
    """Raises OSError if the folder can't be written."""
    outcomes: list[Outcome] = []
    stopped: set[str] = set()  # tables of which an older part had to stay: what comes after it stays too
    for unit in due(now):
        source = unit.content.source
        if source in stopped:
            outcomes.append(Outcome(unit.content.name, _count(unit), "an older part is still there"))
            continue
        outcome = _would(unit) if dry_run else _archive(unit, folder, progress)
        if outcome.kept:
            stopped.add(source)
        outcomes.append(outcome)
    return outcomes


def _would(unit: Unit) -> Outcome:
    with connection.cursor() as cursor:
        kept = _blocked(unit, cursor)
    # What an earlier part of the same run would take away does not stand in the way of this one.
    return Outcome(unit.content.name, _count(unit), "" if "not archived" in kept else kept)


def _archive(unit: Unit, folder: Path, progress: Progress) -> Outcome:
    content = unit.content
    with connection.cursor() as cursor:
        kept = _blocked(unit, cursor)
    if kept:
        return Outcome(content.name, _count(unit), kept)
    progress(f"{content.name}: writing {folder / content.name}.csv.gz")
    manifest = _written(unit, folder)
    progress(f"{content.name}: {manifest.rows} rows, checking them")
    try:
        archive_files.checked(folder, content.name)
        found = _runs(unit, folder, manifest)
    except Damaged as error:
        return Outcome(content.name, manifest.rows, str(error))
    try:
        kept = _drop(unit, manifest, found)
    except OperationalError as error:
        if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise
        kept = "it is in use: the next run tries again"
    return Outcome(content.name, manifest.rows, kept)


def _written(unit: Unit, folder: Path) -> Manifest:
    """A sound file of an earlier run is as good as a new one: its rows are compared before the drop."""
    connection.ensure_connection()
    try:
        manifest = archive_files.checked(folder, unit.content.name)
        if archive_files.same(connection.connection, unit.content, manifest):
            return manifest
    except Damaged:
        pass
    return archive_files.write(connection.connection, folder, unit.content)


def _runs(unit: Unit, folder: Path, manifest: Manifest) -> list[archives.Run]:
    """The runs of chains in an archive of the audit log; none in another. Raises Damaged if a chain is broken."""
    if unit.content.source != "audit_record":
        return []
    wrong: list[archives.Row] = []
    found = list(archives.runs(archives.rows(folder / manifest.file), wrong.append))
    if wrong:
        raise Damaged(
            f"record {wrong[0].entry.id} was changed: see audit --verify. Nothing of it is archived."
        )
    return found


def _drop(unit: Unit, manifest: Manifest, found: list[archives.Run]) -> str:
    """Why it could not be; empty if it is done."""
    content = unit.content
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        for _, partition in unit.partitions:
            cursor.execute(f"LOCK TABLE {partition} IN SHARE MODE")
        kept = _blocked(unit, cursor)
        if kept:
            return kept
        if not archive_files.same(connection.connection, content, manifest):
            return "its rows changed while they were archived"
        place: list[Any] = [
            content.name,
            content.source,
            content.lower,
            content.upper,
            manifest.rows,
            manifest.sha256,
        ]
        cursor.execute(_ARCHIVE, place)
        for run in found:
            cursor.execute(_RUNS, [run.chain, run.first, run.last, run.before, run.hash, content.name])
        new = {"rows": manifest.rows, "file": manifest.file, "sha256": manifest.sha256, "rule": manifest.rule}
        record(action="retention.archive", resource=f"archive/{content.name}", new=new)
        for statement in unit.first:
            cursor.execute(statement)
        for table, partition in unit.partitions:
            cursor.execute(f"ALTER TABLE {table} DETACH PARTITION {partition}")
            cursor.execute(f"DROP TABLE {partition}")
    sealing.seal_all()
    return ""


def _blocked(unit: Unit, cursor: CursorWrapper) -> str:
    for query in unit.blocked:
        cursor.execute(query)
        row = cursor.fetchone()
        if row is not None:
            return str(row[0])
    return ""


def _count(unit: Unit) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {unit.content.name}")
        return int(cursor.fetchone()[0])
