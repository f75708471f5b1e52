"""The ledger's rows against their seals (`trading.ledger.seal`): what was changed, put in, moved or taken out.

Both are read once, in the order of ids, some slices at a time; what is found is dropped, so what is in memory is what
overlaps.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg

from trading.ledger.seal import GENESIS, Digest, digests, unpacked
from trading.verify.check import Finding, Progress, Rule

ROWS = Rule("ledger_rows", 1, "each ledger transaction is what was sealed, row by row", "transactions")
CHAIN = Rule("ledger_chain", 1, "the ledger's seals follow one another", "seals")
LATE = Rule("ledger_unsealed", 0, "new ledger transactions are sealed within a minute", "notes")

PATIENCE = "1 minute"
LOWEST, HIGHEST = bytes(16), b"\xff" * 16
AT_ONCE = 20  # slices in memory

_SEALS = "SELECT number, transactions, entries, before, hash FROM trading_ledgerseal ORDER BY number"
_SLICES = "SELECT first, entries FROM trading_ledgerseal WHERE first > %s ORDER BY first LIMIT %s"
_NOTED = "SELECT unnest(ids) FROM trading_ledgerunsealed"
_OLD = f"""
    SELECT count(*), count(*) FILTER (WHERE noted_at < now() - interval '{PATIENCE}'), min(noted_at)
      FROM trading_ledgerunsealed"""
_ANCHORS = "SELECT id::text, new FROM audit_record WHERE resource = 'ledger' AND action = 'ledger.sealed' ORDER BY id"


def check(connection: psycopg.Connection[Any], progress: Progress) -> Iterator[Finding]:
    progress(CHAIN.says)
    yield _timed(_chain, connection, CHAIN)
    progress(ROWS.says)
    yield _timed(_rows, connection, ROWS)
    yield _timed(_late, connection, LATE)


def _timed(look: Any, connection: psycopg.Connection[Any], rule: Rule) -> Finding:
    started, finding = time.monotonic(), Finding(rule)
    look(connection, finding)
    finding.seconds = time.monotonic() - started
    return finding


def _chain(connection: psycopg.Connection[Any], finding: Finding) -> None:
    """Numbers without a gap, hashes that follow, and what the audit log says of them."""
    recorded = [(record, json.loads(new)) for record, new in connection.execute(_ANCHORS).fetchall()]
    anchors = {new["number"]: (record, new["hash"]) for record, new in recorded}
    number, before = 0, GENESIS
    with connection.cursor("ledger_seals") as cursor:
        cursor.itersize = 20
        for place, transactions, entries, follows, made in cursor.execute(_SEALS):
            finding.count += 1
            if place != number + 1:
                finding.breach(f"seal {number + 1} is missing")
            elif bytes(follows) != before:
                finding.breach(
                    f"seal {place} does not follow seal {number}: one of them was changed or moved"
                )
            if hashlib.sha256(bytes(follows) + entries).digest() != made or len(entries) != transactions * 32:
                finding.breach(f"seal {place} was changed")
            record, anchored = anchors.pop(place, ("", bytes(made).hex()))
            if anchored != bytes(made).hex():
                finding.breach(f"seal {place} is another than the audit log was told in {record}")
            number, before = place, bytes(made)
    for place, (record, _) in sorted(anchors.items()):
        finding.breach(f"seal {place} is missing, of which the audit log was told in {record}")


def _rows(connection: psycopg.Connection[Any], finding: Finding) -> None:
    noted = {each.bytes for (each,) in connection.execute(_NOTED)}
    changed: dict[bytes, tuple[bytes, bytes]] = {}  # by id: what was sealed, what is there
    inserted: list[Digest] = []
    expected: dict[bytes, bytes] = {}
    for first, last, entries in _windows(connection):
        for each in entries:
            expected.update(unpacked(each))
        for found in digests(connection, first, last):
            finding.count += 1
            sealed = expected.pop(found.id, None)
            if sealed is None:
                if found.id not in noted:
                    inserted.append(found)
            elif sealed != found.digest:
                changed[found.id] = sealed, found.digest
    _name(finding, changed, inserted, expected)


def _windows(connection: psycopg.Connection[Any]) -> Iterator[tuple[bytes, bytes, list[bytes]]]:
    """Ranges of ids that together are all, each with the slices that begin in it."""
    start, after = LOWEST, UUID(int=0)
    slices = connection.execute(_SLICES, (after, AT_ONCE)).fetchall()
    while slices:
        after = slices[-1][0]
        following = connection.execute(_SLICES, (after, AT_ONCE)).fetchall()
        end = (following[0][0].int - 1).to_bytes(16) if following else HIGHEST
        yield start, end, [bytes(entries) for _, entries in slices]
        if not following:
            return
        start, slices = following[0][0].bytes, following
    yield start, HIGHEST, []


def _name(
    finding: Finding,
    changed: dict[bytes, tuple[bytes, bytes]],
    inserted: list[Digest],
    gone: dict[bytes, bytes],
) -> None:
    """Rows that say what those of another transaction said were moved."""
    owners = {sealed: each for each, (sealed, _) in changed.items()} | {
        sealed: each for each, sealed in gone.items()
    }
    for each, (_, there) in changed.items():
        other = owners.get(there)
        if other is None:
            finding.breach(f"transaction {UUID(bytes=each)} was changed")
        else:
            finding.breach(
                f"transaction {UUID(bytes=each)} was reordered: it has the rows of {UUID(bytes=other)}"
            )
    for found in inserted:
        other = owners.get(found.digest)
        if other is None:
            finding.breach(f"transaction {UUID(bytes=found.id)} was inserted: it was never sealed")
        else:
            finding.breach(
                f"transaction {UUID(bytes=found.id)} was reordered: it was sealed as {UUID(bytes=other)}"
            )
            gone.pop(other, None)
    for each in gone:
        finding.breach(f"transaction {UUID(bytes=each)} is missing")


def _late(connection: psycopg.Connection[Any], finding: Finding) -> None:
    row = connection.execute(_OLD).fetchone()
    assert row is not None
    finding.count, finding.breaches, oldest = row
    if finding.breaches:
        finding.first = f"not sealed since {oldest.isoformat()}: is a worker of Celery running?"
