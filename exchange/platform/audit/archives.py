"""The part of the audit log that stands in archives: written as a chain, and checked as one.

A month's records and seals are one file, in the order of chain and number, so each row can be hashed as it is read.
"""

from __future__ import annotations

import csv
import gzip
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from exchange.platform.audit import archive_files
from exchange.platform.audit.chain import SELECTED, Entry, link
from exchange.platform.audit.findings import Finding

_RUNS = "SELECT archive, chain::text, first, last, before, hash FROM audit_archived ORDER BY archive, chain, first"
_ARCHIVES = "SELECT name, digest FROM audit_archive ORDER BY name"

csv.field_size_limit(sys.maxsize)  # the commands of a batch are one field


class Row(NamedTuple):
    chain: str
    number: int
    before: bytes
    hash: bytes
    entry: Entry


class Run(NamedTuple):
    """Numbers `first` to `last` of a chain, which follow one another."""

    chain: str
    first: int
    last: int
    before: bytes
    hash: bytes


def query(records: str, seals: str) -> str:
    """What the file of two partitions has."""
    fields = ", ".join(Entry._fields)
    return (
        "SELECT chain, number, before, hash, "
        + fields
        + " FROM (SELECT s.chain, s.number, encode(s.before, 'hex'),"
        f" encode(s.hash, 'hex'), {SELECTED} FROM {seals} s JOIN {records} r ON r.id = s.id)"
        f" AS archived (chain, number, before, hash, {fields}) ORDER BY chain, number"
    )


def rows(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt", newline="", encoding="utf-8") as lines:
        reader = csv.reader(lines)
        next(reader)
        for chain, number, before, digest, *fields in reader:
            yield Row(chain, int(number), bytes.fromhex(before), bytes.fromhex(digest), Entry(*fields))


def runs(found: Iterator[Row], report: Callable[[Row], None]) -> Iterator[Run]:
    """Cut where a number is missing. `report` gets each row that does not make its hash, or does not follow the one
    before it."""
    run: Run | None = None
    for row in found:
        if link(row.before, row.entry) != row.hash:
            report(row)
        if run is not None and (row.chain, row.number) == (run.chain, run.last + 1):
            if row.before != run.hash:
                report(row)
            run = run._replace(last=row.number, hash=row.hash)
            continue
        if run is not None:
            yield run
        run = Run(row.chain, row.number, row.number, row.before, row.hash)
    if run is not None:
        yield run


def check(
    connection: psycopg.Connection[Any], folder: Path, progress: Callable[[str], None]
) -> Iterator[Finding]:
    """Every archive that the database knows of is in `folder`, as it was; the audit log's own fit the chains."""
    expected: dict[str, list[Run]] = {}
    for name, *run in connection.execute(_RUNS):
        expected.setdefault(name, []).append(Run(*run))
    for name, digest in connection.execute(_ARCHIVES).fetchall():
        progress(f"archive {name}")
        try:
            manifest = archive_files.checked(folder, name)
        except (archive_files.Damaged, OSError, EOFError) as error:
            yield Finding("archive", "", None, "", str(error))
            continue
        if manifest.sha256 != digest:
            yield Finding("archive", "", None, "", f"{name}: it is not the file that was written")
        if name in expected:
            yield from _chains(folder / manifest.file, expected[name])


def _chains(path: Path, expected: list[Run]) -> Iterator[Finding]:
    wrong: list[Row] = []
    found = list(runs(rows(path), wrong.append))
    for row in wrong:
        yield Finding("changed", row.chain, row.number, row.entry.id, f"in {path.name}")
    if found != [run._replace(before=bytes(run.before), hash=bytes(run.hash)) for run in expected]:
        yield Finding("archive", "", None, "", f"{path.name}: its chains are not those that were archived")
