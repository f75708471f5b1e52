"""UUIDv7 (RFC 9562): ids that sort by the time they were made, so indexes stay local and tables partition by
id.

Layout: 48 bits of milliseconds, 4 version, 12 bits counter, 2 variant, 54 random bits, and a last byte of
zero, which leaves room for 255 parts of one whole (`part`): a trade's postings carry the trade's id with
their ordinal in that byte, and are found by an id range instead of one more index.
Monotonic within a process and safe across threads.

Why it is so: docs/decisions/004-partitions-and-ids.md.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from uuid import UUID

_RANDOM_AT_ONCE = 512  # ids; asking the system for each would cost more than the rest

_lock = threading.Lock()
_millis = 0
_counter = 0
_head = ""
_random: list[str] = []


def uuid7() -> str:
    """A new id in canonical text form (36 characters), above every earlier one of this process."""
    global _millis, _counter, _head
    with _lock:
        now = time.time_ns() // 1_000_000
        if now > _millis or _counter == 0xFFF:
            _millis, _counter = max(now, _millis + 1), 0
            digits = f"{_millis:012x}"
            _head = f"{digits[:8]}-{digits[8:]}-7"
        else:
            _counter += 1
        if not _random:
            _random.extend(_random_tails())
        return f"{_head}{_counter:03x}-{_random.pop()}00"


def _random_tails() -> list[str]:
    """54 random bits each, with the variant in front, as the last two groups of an id have them."""
    digits = os.urandom(7 * _RANDOM_AT_ONCE).hex()
    parts = [digits[at : at + 14] for at in range(0, len(digits), 14)]
    return [f"{'89ab'[int(part[0], 16) & 3]}{part[1:4]}-{part[4:]}" for part in parts]


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
