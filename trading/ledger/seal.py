"""Seals the ledger: a digest of each transaction's rows, in slices, each chained to the one before it.

    noted ids (a trigger's) → the rows, read in the order of their ids → digests → a slice with its hash, notes removed

A transaction and its postings follow one another by id (`exchange.base.ids.part`), so one pass over both tables has
each transaction whole. A slice says `hash = SHA-256(hash before ‖ entries)`. `verify` makes the digests again. All
this is beside the order path, which pays for one note a statement (docs/decisions/017).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from exchange.platform.audit.log import record

GENESIS = bytes(32)
WIDE = 16  # bytes of an id, and of a digest that is kept
GONE = bytes(WIDE)  # the digest of a transaction that was there when it was noted and is not any more
NOTES = 100  # statements whose transactions are sealed in one slice
FAR = 10_000  # milliseconds between two ids, above which the rows in between are not read
LOCK = 0x6C656467  # "ledg"

_ROWS = """
    COPY (SELECT id, kind, trace_id, extract(epoch FROM created_at)::text, '' FROM trading_transaction
           WHERE id BETWEEN %(first)s::uuid AND %(last)s::uuid
           UNION ALL
          SELECT id, account_id::text, asset_id::text, amount::text, '' FROM trading_posting
           WHERE id BETWEEN %(first)s::uuid AND %(last)s::uuid
           ORDER BY id) TO STDOUT"""
_NOTES = "SELECT id, ids FROM trading_ledgerunsealed ORDER BY id LIMIT %s"
_LAST = "SELECT number, hash FROM trading_ledgerseal ORDER BY number DESC LIMIT 1"
_SEAL = """
    INSERT INTO trading_ledgerseal (number, first, last, transactions, entries, before, hash)
    VALUES (%s, %s, %s, %s, %s, %s, %s)"""


class Digest(NamedTuple):
    """`id` is the transaction's, whether or not it has a row of its own."""

    id: bytes
    digest: bytes


def seal() -> int:
    """Seal one slice; how many transactions, 0 if there is none or another process is at it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(_NOTES, [NOTES])
        notes = cursor.fetchall()
        ids = sorted({each.bytes for _, noted in notes for each in noted})
        if ids:
            _write(cursor, ids)
            cursor.execute(
                "DELETE FROM trading_ledgerunsealed WHERE id = ANY (%s)", [[note for note, _ in notes]]
            )
        return len(ids)


def anchor() -> bool:
    """Have the audit log say how far the ledger is sealed: so its chain holds this one too. False if it has said
    so."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LAST)
        row = cursor.fetchone()
        if row is None:
            return False
        new = {"number": row[0], "hash": bytes(row[1]).hex()}
        cursor.execute("SELECT new FROM audit_record WHERE resource = 'ledger' ORDER BY id DESC LIMIT 1")
        recorded = cursor.fetchone()
        if recorded is not None and new["hash"] in recorded[0]:
            return False
        record(action="ledger.sealed", resource="ledger", actor="system:ledger", new=new)
    return True


def digests(source: psycopg.Connection[Any], first: bytes, last: bytes) -> Iterator[Digest]:
    """Of all transactions with ids from `first` to `last`, in their order; a posting without its transaction counts as
    one of it."""
    params = {"first": str(UUID(bytes=first)), "last": str(UUID(bytes=last[:-1] + b"\xff"))}
    current, made = b"", hashlib.sha256()
    with psycopg.Cursor(source).copy(_ROWS, params) as rows:
        for block in rows:
            line = bytes(block)
            whole = line[:34]  # of the id: all but the ordinal
            if whole != current:
                if current:
                    yield Digest(_id(current), made.digest()[:WIDE])
                current, made = whole, hashlib.sha256()
            made.update(line[34:])
    if current:
        yield Digest(_id(current), made.digest()[:WIDE])


def unpacked(entries: bytes) -> Iterator[Digest]:
    for one, other in struct.iter_unpack(f"{WIDE}s{WIDE}s", entries):
        yield Digest(one, other)


def _write(cursor: CursorWrapper, ids: list[bytes]) -> None:
    wanted = set(ids)
    found = {
        each.id: each.digest
        for run in _runs(ids)
        for each in digests(connection.connection, run[0], run[-1])
        if each.id in wanted
    }
    entries = b"".join(each + found.get(each, GONE) for each in ids)
    cursor.execute(_LAST)
    number, before = cursor.fetchone() or (0, GENESIS)
    made = hashlib.sha256(bytes(before) + entries).digest()
    first, last = UUID(bytes=ids[0]), UUID(bytes=ids[-1])
    cursor.execute(_SEAL, [number + 1, first, last, len(ids), entries, before, made])


def _runs(ids: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Sorted ids that were made close to one another."""
    run: list[bytes] = []
    for each in ids:
        if run and _millis(each) - _millis(run[-1]) > FAR:
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _millis(each: bytes) -> int:
    return int.from_bytes(each[:6])


def _id(whole: bytes) -> bytes:
    return bytes.fromhex(whole.decode().replace("-", "") + "00")
