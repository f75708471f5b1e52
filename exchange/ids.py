"""UUIDv7 (RFC 9562): ids that sort by the time they were made, so indexes stay local and tables partition by id.

Layout: 48 bits of milliseconds, 4 version, 12 bits counter, 2 variant, 54 random bits, and a last byte of
zero, which leaves room for 255 parts of one whole (`part`): a trade's postings carry the trade's id with
their ordinal in that byte, and are found by an id range instead of one more index.
Monotonic within a process and safe across threads.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from uuid import UUID

_lock = threading.Lock()
_millis = 0
_counter = 0


def uuid7() -> str:
    """A new id in canonical text form (36 characters), above every earlier one of this process."""
    global _millis, _counter
    with _lock:
        now = time.time_ns() // 1_000_000
        if now > _millis:
            _millis, _counter = now, 0
        else:
            _counter += 1
            if _counter > 0xFFF:
                _millis, _counter = _millis + 1, 0
        millis, counter = _millis, _counter
    head, rand = f"{millis:012x}", os.urandom(7).hex()
    return f"{head[:8]}-{head[8:]}-7{counter:03x}-{'89ab'[int(rand[0], 16) & 3]}{rand[1:4]}-{rand[4:14]}00"


def part(whole: str, ordinal: int) -> str:
    """The id of the `ordinal`th part (1 to 255) of `whole`."""
    return f"{whole[:-2]}{ordinal:02x}"


def floor(moment: datetime) -> UUID:
    """The lowest UUIDv7 of that moment: a bound for id ranges."""
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62))


def moment(of: UUID | str) -> datetime:
    """When the id was made, in UTC."""
    value = of if isinstance(of, UUID) else UUID(of)
    return datetime.fromtimestamp((value.int >> 80) / 1000, tz=UTC)


def new() -> UUID:
    """A new id as a `UUID`, for model defaults."""
    return UUID(uuid7())
