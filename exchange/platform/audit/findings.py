"""What a check of the audit log found."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """`kind`: changed, missing, inserted, reordered, unsealed, anchor or archive. `number` is in the chain; `record` an
    id, empty where nothing is there to have one."""

    kind: str
    chain: str
    number: int | None
    record: str
    detail: str
