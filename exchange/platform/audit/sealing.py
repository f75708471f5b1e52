"""The sealer: gives each record its number and hash in its chain, in the order in which it finds them.

    unsealed records, a few hundred → by chain: number, hash → seals, heads, no longer unsealed: one transaction

One at a time holds the lock; who does not get it has nothing to do. Killed at any point, the next one finds the same.
A record that is gone before it was sealed stays among the unsealed, where `verify` finds it.

Why it is so: docs/decisions/017-audit-and-ledger-seals.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from exchange.platform.audit.chain import GENESIS, PLATFORM, SELECTED, Entry, link
from exchange.platform.audit.log import TOPIC
from exchange.platform.events import outbox

AT_ONCE = 500  # records in one transaction
LOCK = 0x61756469  # "audi"

_UNSEALED = f"""
    SELECT {SELECTED} FROM audit_unsealed u JOIN audit_record r ON r.id = u.record ORDER BY u.record LIMIT %s"""
_SEAL = """
    INSERT INTO audit_seal (id, chain, number, before, hash)
    SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[], %s::bytea[], %s::bytea[])"""
_HEADS = "SELECT chain, number, hash FROM audit_head WHERE chain = ANY (%s) FOR UPDATE"
_ADVANCE = """
    INSERT INTO audit_head (chain, number, hash) SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::bytea[])
    ON CONFLICT (chain) DO UPDATE SET number = excluded.number, hash = excluded.hash"""
_UNTOLD = """
    UPDATE audit_head h SET told = h.number FROM audit_head before
     WHERE before.chain = h.chain AND h.told < h.number RETURNING h.chain::text, h.number, encode(h.hash, 'hex')"""

Head = tuple[int, bytes]


def seal(limit: int = AT_ONCE) -> int:
    """Seal the oldest records that are not; how many, 0 if another process is at it."""
    with transaction.atomic(), connection.cursor() as cursor:
        if not _mine(cursor):
            return 0
        cursor.execute(_UNSEALED, [limit])
        entries = [Entry(*row) for row in cursor.fetchall()]
        if entries:
            _write(cursor, entries)
        return len(entries)


def seal_all() -> int:
    """Seal until there is nothing left; how many."""
    total = 0
    while sealed := seal():
        total += sealed
    return total


def publish_heads() -> int:
    """Have `audit.logs` say where the chains stand that have grown since it last did: a copy of it is an anchor
    outside of this database. How many."""
    with transaction.atomic(), connection.cursor() as cursor:
        if not _mine(cursor):
            return 0
        cursor.execute(_UNTOLD)
        heads = cursor.fetchall()
        for chain, number, digest in heads:
            institution = "" if chain == str(PLATFORM) else chain
            payload = {"institution": institution, "number": number, "hash": digest}
            outbox.append(TOPIC, institution or "platform", "AUDIT_HEAD", payload, trace_id="")
    return len(heads)


def _mine(cursor: CursorWrapper) -> bool:
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
    return bool(cursor.fetchone()[0])


def _write(cursor: CursorWrapper, entries: Sequence[Entry]) -> None:
    cursor.execute(_HEADS, [list({entry.chain for entry in entries})])
    heads: dict[UUID, Head] = {chain: (number, bytes(digest)) for chain, number, digest in cursor.fetchall()}
    seals: list[tuple[Any, ...]] = []
    for entry in entries:
        number, before = heads.get(entry.chain, (0, GENESIS))
        digest = link(before, entry)
        seals.append((entry.id, entry.chain, number + 1, before, digest))
        heads[entry.chain] = (number + 1, digest)
    cursor.execute(_SEAL, [list(column) for column in zip(*seals, strict=True)])
    ends = [(chain, number, digest) for chain, (number, digest) in heads.items()]
    cursor.execute(_ADVANCE, [list(column) for column in zip(*ends, strict=True)])
    cursor.execute(
        "DELETE FROM audit_unsealed WHERE record = ANY (%s::uuid[])", [[each.id for each in entries]]
    )
