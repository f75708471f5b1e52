"""How a record is hashed into its chain: pure, and simple enough to be computed by a third party (docs/audit.md).

    hash = SHA-256(hash of the record before it ‖ the record as JSON)

The first record of a chain follows 32 zero bytes. The JSON has the fields of `Entry` by name, sorted, all of them
text, without spaces, in UTF-8; `old` and `new` are the texts as they stand in the table, `at` is in UTC to the
microsecond.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple
from uuid import UUID

GENESIS = bytes(32)
PLATFORM = UUID(int=0)

# A record in a query, as text in the order of `Entry`, from the table `r`.
SELECTED = """r.id::text, to_char(r.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    coalesce(r.institution_id::text, ''), r.actor, r.role, r.action, r.resource, r.old, r.new, r.address, r.agent,
    r.trace_id"""


class Entry(NamedTuple):
    """A record as text."""

    id: str
    at: str
    institution: str
    actor: str
    role: str
    action: str
    resource: str
    old: str
    new: str
    address: str
    agent: str
    trace_id: str

    @property
    def chain(self) -> UUID:
        return UUID(self.institution) if self.institution else PLATFORM


def canonical(entry: Entry) -> bytes:
    return json.dumps(entry._asdict(), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def link(before: bytes, entry: Entry) -> bytes:
    return hashlib.sha256(before + canonical(entry)).digest()
