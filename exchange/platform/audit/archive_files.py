"""Archive files: rows as CSV, packed with gzip, each beside a manifest of what it must be.

    NAME.csv.gz     with a header line
    NAME.json       rows, columns, range of ids, SHA-256 of the file and of the CSV in it
    SHA256SUMS      of all files, for `sha256sum --check`

A file appears under its name when it is whole and on the disk, the manifest after it: killed in between, it is written
again.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from exchange.base.times import now_text

SUMS = "SHA256SUMS"
BLOCK = 1 << 20


class Damaged(Exception):
    """A file or manifest is not what it must be; the text says which and how."""


@dataclass(frozen=True)
class Manifest:
    name: str
    source: str  # the table
    lower: str  # ids from here
    upper: str  # to below this
    columns: list[str]
    rows: int
    bytes: int
    sha256: str  # of the file
    sha256_of_csv: str
    rule: str  # why it was archived
    made_at: str

    @property
    def file(self) -> str:
        return f"{self.name}.csv.gz"


@dataclass(frozen=True)
class Content:
    """What a file is to have: a query in its order, and what the manifest says of it."""

    name: str
    source: str
    lower: str
    upper: str
    query: str
    rule: str


def write(connection: psycopg.Connection[Any], folder: Path, content: Content) -> Manifest:
    """Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{content.name}.csv.gz"
    part = target.with_suffix(".part")
    plain = hashlib.sha256()
    header = b""
    with part.open("wb") as raw:
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
            cursor = connection.cursor()
            with cursor.copy(_copy(content.query)) as rows:
                for block in rows:
                    header = header or bytes(block)
                    plain.update(block)
                    packed.write(block)
        raw.flush()
        os.fsync(raw.fileno())
    manifest = Manifest(
        name=content.name,
        source=content.source,
        lower=content.lower,
        upper=content.upper,
        columns=header.decode().strip().split(","),
        rows=cursor.rowcount,
        bytes=part.stat().st_size,
        sha256=_digest(part),
        sha256_of_csv=plain.hexdigest(),
        rule=content.rule,
        made_at=now_text(),
    )
    part.replace(target)
    _put(folder / f"{content.name}.json", json.dumps(asdict(manifest), indent=2) + "\n")
    _put(folder / SUMS, "".join(f"{each.sha256}  {each.file}\n" for each in manifests(folder)))
    return manifest


def checked(folder: Path, name: str) -> Manifest:
    """The manifest of a file that is what it says. Raises Damaged, also if there is none."""
    manifest = _manifest(folder / f"{name}.json")
    path = folder / manifest.file
    if not path.is_file():
        raise Damaged(f"{path} is missing")
    if _digest(path) != manifest.sha256:
        raise Damaged(f"{path} was changed: its SHA-256 is not that of its manifest")
    plain = hashlib.sha256()
    with gzip.open(path) as packed:
        while block := packed.read(BLOCK):
            plain.update(block)
    if plain.hexdigest() != manifest.sha256_of_csv:
        raise Damaged(f"{path}: the rows in it are not those of its manifest")
    return manifest


def manifests(folder: Path) -> Iterator[Manifest]:
    """Of all files there. Raises Damaged."""
    for path in sorted(folder.glob("*.json")):
        yield _manifest(path)


def same(connection: psycopg.Connection[Any], content: Content, manifest: Manifest) -> bool:
    """Do the rows make the very file?"""
    plain = hashlib.sha256()
    with connection.cursor().copy(_copy(content.query)) as rows:
        for block in rows:
            plain.update(block)
    return plain.hexdigest() == manifest.sha256_of_csv


def _copy(query: str) -> str:
    return f"COPY ({query}) TO STDOUT WITH (FORMAT csv, HEADER)"


def _manifest(path: Path) -> Manifest:
    try:
        return Manifest(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise Damaged(f"{path} is missing") from None
    except (ValueError, TypeError) as error:
        raise Damaged(f"{path} is no manifest: {error}") from None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _put(path: Path, text: str) -> None:
    """Whole, or not at all."""
    part = path.with_suffix(".part")
    with part.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
