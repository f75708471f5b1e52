"""Heads that were kept outside of the database: a chain that was rewritten as a whole does not have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from exchange.platform.audit import archives
from exchange.platform.audit.findings import Finding

_AT = """
    SELECT id::text, hash FROM audit_seal WHERE chain = %(chain)s AND number = %(number)s
     UNION ALL SELECT '', hash FROM audit_archived WHERE chain = %(chain)s AND last = %(number)s"""
_ARCHIVED = """
    SELECT archive FROM audit_archived WHERE chain = %(chain)s AND %(number)s BETWEEN first AND last"""


class Anchor(NamedTuple):
    chain: UUID
    number: int
    hash: bytes


def check(
    connection: psycopg.Connection[Any], anchors: Sequence[Anchor], folder: Path | None = None
) -> Iterator[Finding]:
    """`folder` has the archives, for an anchor that stands in one."""
    for anchor in anchors:
        record, digest, otherwise = _found(connection, anchor, folder)
        if digest is None:
            yield Finding("anchor", str(anchor.chain), anchor.number, "", otherwise)
        elif digest != anchor.hash:
            detail = f"its hash is {digest.hex()} now: the chain was rewritten up to it, or before"
            yield Finding("anchor", str(anchor.chain), anchor.number, record, detail)


def _found(
    connection: psycopg.Connection[Any], anchor: Anchor, folder: Path | None
) -> tuple[str, bytes | None, str]:
    """The record with that number and its hash, or why there is none."""
    params = {"chain": anchor.chain, "number": anchor.number}
    row = connection.execute(_AT, params).fetchone()
    if row is not None:
        return row[0], bytes(row[1]), ""
    archived = connection.execute(_ARCHIVED, params).fetchone()
    if archived is None:
        return "", None, "the chain has no such number"
    path = folder / f"{archived[0]}.csv.gz" if folder is not None else None
    if path is None or not path.is_file():
        return "", None, f"it stands in the archive {archived[0]}: name its folder with --archive"
    for found in archives.rows(path):
        if (found.chain, found.number) == (str(anchor.chain), anchor.number):
            return found.entry.id, found.hash, ""
    return "", None, f"the archive {archived[0]} has no such number"
