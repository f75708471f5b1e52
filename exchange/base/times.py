"""Times as we write them: RFC 3339, in UTC, with a Z."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(moment: datetime, timespec: str = "milliseconds") -> str:
    """`timespec` as for `datetime.isoformat`; "auto" leaves nothing of the moment out."""
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def now_text() -> str:
    return rfc3339(datetime.now(UTC))
