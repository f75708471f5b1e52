"""Walks all chains of the audit log and names every record that is not what was sealed.

Each seal says which hash it follows (`before`) and which it makes (`hash`), so three things are checked on their own:
the numbers have no gap, each record makes the hash of its seal, each seal follows the one before it. What is found is
sorted into kinds by `links`. Read in one moment of a live system; nothing is written, no row is locked.

Known limitation: who rewrites a chain from some record to its end, head included, leaves a sound chain. That is what
anchors are for: heads that were kept outside (`--anchor`; `audit.logs` has one a minute).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from exchange.platform.audit import chain_order
from exchange.platform.audit.chain import GENESIS, SELECTED, Entry, link
from exchange.platform.audit.chain_order import Run
from exchange.platform.audit.findings import Finding

AT_ONCE = 2000  # seals read at a time
PATIENCE = 60  # seconds that a record may be without a seal
MOST_SWAPS = 100  # changed records of a chain that are compared with each other

_CHAINS = """
    SELECT chain FROM audit_head UNION SELECT chain FROM audit_archived UNION SELECT DISTINCT chain FROM audit_seal
     ORDER BY 1"""
_SEALS = f"""
    SELECT s.id, s.number, s.before, s.hash, {SELECTED} FROM audit_seal s LEFT JOIN audit_record r ON r.id = s.id
     WHERE s.chain = %s AND s.number > %s ORDER BY s.number LIMIT %s"""
_LATE = """
    SELECT u.record::text, r.id IS NULL, extract(epoch FROM now() - r.at)::bigint
      FROM audit_unsealed u LEFT JOIN audit_record r ON r.id = u.record ORDER BY u.record"""
_STRANGE = """
    SELECT r.id::text, r.institution_id FROM audit_record r
     WHERE NOT EXISTS (SELECT FROM audit_seal s WHERE s.id = r.id)
       AND NOT EXISTS (SELECT FROM audit_unsealed u WHERE u.record = r.id) ORDER BY r.id"""
_UNTOLD = """
    SELECT a.name FROM audit_archive a
     WHERE a.at > now() - interval '6 years' AND NOT EXISTS (
         SELECT FROM audit_record r WHERE r.resource = 'archive/' || a.name AND r.action = 'retention.archive'
            AND strpos(r.new, a.digest) > 0)
     UNION SELECT archive FROM audit_archived WHERE archive NOT IN (SELECT name FROM audit_archive)"""
_ELSEWHERE = """
    SELECT s.id::text, r.institution_id FROM audit_seal s JOIN audit_record r ON r.id = s.id
     WHERE s.chain <> coalesce(r.institution_id, %s) ORDER BY s.id"""

OnFinding = Callable[[Finding], None]


class Seal(NamedTuple):
    record: str
    number: int
    before: bytes
    hash: bytes
    entry: Entry | None  # None: there is no such record


class Archive(NamedTuple):
    """A run of a chain that stands in an archive."""

    first: int
    last: int
    before: bytes
    hash: bytes
    name: str


@dataclass
class Report:
    chains: int = 0
    records: int = 0
    archived: int = 0
    unsealed: int = 0
    findings: list[Finding] = field(default_factory=list)


def run(connection: psycopg.Connection[Any], progress: Callable[[str], None]) -> Report:
    """Check all chains in the snapshot that `connection` has open."""
    report = Report()
    chains = connection.execute(_CHAINS).fetchall()
    _look_up(connection, one_by_one=True)
    for (chain,) in chains:
        progress(f"chain {chain}")
        report.chains += 1
        _Walk(connection, chain, report).run()
    _look_up(connection, one_by_one=False)
    progress("records outside of the chains")
    _outside(connection, report)
    return report


def _look_up(connection: psycopg.Connection[Any], *, one_by_one: bool) -> None:
    """A piece of a chain is found by its indexes, however PostgreSQL guesses; whole tables are compared."""
    for name in ("enable_hashjoin", "enable_mergejoin"):
        connection.execute("SELECT set_config(%s, %s, true)", (name, "off" if one_by_one else "on"))


class _Walk:
    """One chain, from its first number to its head."""

    def __init__(self, connection: psycopg.Connection[Any], chain: UUID, report: Report) -> None:
        self._connection, self._chain, self._report = connection, chain, report
        rows = connection.execute(
            "SELECT first, last, before, hash, archive FROM audit_archived WHERE chain = %s", (chain,)
        )
        self._archived = {row[0]: Archive(*row) for row in rows}
        self._next, self._previous = 1, GENESIS
        self._runs: list[Run] = []
        self._changed: list[Seal] = []
        self._suspect: tuple[Seal, bytes] | None = (
            None  # a seal that its record does not make, and what it makes
        )

    def run(self) -> None:
        for seal in self._seals():
            self._report.records += 1
            self._step(seal)
        self._skip_archives()
        head = self._head()
        self._decide(head[1] if head else b"")
        last = self._runs[-1].last if self._runs else 0
        self._check_end(head, max(last, self._next - 1))
        for finding in chain_order.findings(self._runs, self._where, head[0] if head else last):
            self._tell(finding.kind, finding.detail, finding.number)
        self._name_changed()

    def _seals(self) -> Iterator[Seal]:
        after = -1
        while rows := self._connection.execute(_SEALS, (self._chain, after, AT_ONCE)).fetchall():
            for record, number, before, digest, *values in rows:
                entry = None if values[0] is None else Entry(*values)
                yield Seal(str(record), number, bytes(before), bytes(digest), entry)
            after = rows[-1][1]

    def _step(self, seal: Seal) -> None:
        self._decide(seal.before)
        if seal.number != self._next:
            self._skip_archives(seal.number)
        gap = seal.number > self._next
        if gap:
            self._missing(self._next, seal.number - 1)
        if self._runs and seal.before == self._previous and seal.number == self._runs[-1].last + 1:
            self._runs[-1].last = seal.number
        else:
            sound = gap or seal.before == self._previous
            self._runs.append(Run(seal.number, seal.number, None if sound else seal.before))
        if seal.entry is None:
            self._tell("missing", "its record is gone, its seal is there", seal.number, seal.record)
        elif (made := link(seal.before, seal.entry)) != seal.hash:
            self._suspect = seal, made
        self._previous, self._next = seal.hash, max(self._next, seal.number + 1)

    def _skip_archives(self, until: int | None = None) -> None:
        """What comes next is in an archive, maybe."""
        while (archive := self._archived.get(self._next)) and (until is None or archive.last < until):
            if archive.before != self._previous:
                self._tell("changed", f"does not continue into the archive {archive.name}", archive.first - 1)
            self._report.archived += archive.last - archive.first + 1
            self._previous, self._next = archive.hash, archive.last + 1

    def _decide(self, following: bytes) -> None:
        """Which of a pair is wrong, the record or its seal? The next seal follows what was true."""
        if self._suspect is None:
            return
        seal, made = self._suspect
        self._suspect = None
        if made == following:
            self._tell("changed", "its seal was changed, its record was not", seal.number, seal.record)
            self._previous = made
        else:
            self._changed.append(seal)

    def _name_changed(self) -> None:
        """A record that says what another one said was moved, not rewritten."""
        some = self._changed[:MOST_SWAPS]
        for seal in self._changed:
            others = (each for each in some if each is not seal and each.entry is not None)
            twin = next((each for each in others if self._said(seal, each)), None)
            if twin is None:
                self._tell("changed", "its record is not what was sealed", seal.number, seal.record)
            else:
                detail = (
                    f"it says what number {twin.number} (record {twin.record}) said, or the other way round"
                )
                self._tell("reordered", detail, seal.number, seal.record)

    def _said(self, seal: Seal, other: Seal) -> bool:
        assert other.entry is not None
        return link(seal.before, other.entry._replace(id=seal.record)) == seal.hash

    def _head(self) -> tuple[int, bytes] | None:
        query = "SELECT number, hash FROM audit_head WHERE chain = %s"
        row = self._connection.execute(query, (self._chain,)).fetchone()
        return None if row is None else (row[0], bytes(row[1]))

    def _check_end(self, head: tuple[int, bytes] | None, last: int) -> None:
        if head is None:
            self._tell("missing", f"the chain has no head; its last number is {last}")
        elif head[0] > last:
            self._missing(last + 1, head[0], "the end of the chain was cut off")
        elif head[0] < last:
            self._tell("inserted", f"what stands after the chain's head, number {head[0]}", head[0] + 1)
        elif head[1] != self._previous:
            self._tell("changed", "it is not what the chain's head says", last)

    def _missing(self, first: int, last: int, why: str = "neither record nor seal is there") -> None:
        if last > first:
            why = f"and all up to {last}: {why}"
        self._tell("missing", why, first)

    def _where(self, digests: Sequence[bytes]) -> dict[bytes, int]:
        """The numbers of the seals that have these hashes."""
        query = "SELECT hash, number FROM audit_seal WHERE chain = %s AND hash = ANY (%s)"
        found = self._connection.execute(query, (self._chain, list(digests))).fetchall()
        ends = {archive.hash: archive.last for archive in self._archived.values()}
        return {GENESIS: 0, **ends, **{bytes(digest): number for digest, number in found}}

    def _tell(self, kind: str, detail: str, number: int | None = None, record: str = "") -> None:
        if number is not None and not record:
            query = "SELECT id::text FROM audit_seal WHERE chain = %s AND number = %s"
            row = self._connection.execute(query, (self._chain, number)).fetchone()
            record = row[0] if row else ""
        self._report.findings.append(Finding(kind, str(self._chain), number, record, detail))


def _outside(connection: psycopg.Connection[Any], report: Report) -> None:
    """Records that no chain has, and those that wait for one."""
    for record, institution in _each(connection, _STRANGE):
        report.findings.append(
            Finding(
                "inserted",
                str(institution or chain_order.NONE),
                None,
                record,
                "it was never sealed, nor waits for it",
            )
        )
    for record, institution in _each(connection, _ELSEWHERE, (chain_order.NONE,)):
        detail = "it stands in another institution's chain than it says"
        report.findings.append(Finding("changed", str(institution or chain_order.NONE), None, record, detail))
    for (name,) in _each(connection, _UNTOLD):
        report.findings.append(
            Finding("archive", "", None, "", f"{name}: no record says that it was archived so")
        )
    for record, gone, seconds in _each(connection, _LATE):
        report.unsealed += 1
        if gone:
            report.findings.append(Finding("missing", "", None, record, "it was gone before it was sealed"))
        elif seconds > PATIENCE:
            detail = f"without a seal for {seconds} s: is a worker of Celery running?"
            report.findings.append(Finding("unsealed", "", None, record, detail))


def _each(connection: psycopg.Connection[Any], query: str, params: Iterable[Any] = ()) -> list[Any]:
    return connection.execute(query, tuple(params)).fetchall()
