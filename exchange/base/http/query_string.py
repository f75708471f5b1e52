"""The parameters of a query string: each read by name, all that is wrong said at once, unknown names refused.

    query = Query(request)
    limit, before = query.limit(), query.cursor()
    query.check()                                     # raises Problem 400 naming every wrong parameter

A misspelt filter is an error and not a filter that is left out: `DELETE orders?symbl=` must not cancel
everything. A cursor is opaque to the caller: the id (UUIDv7) of the last row that was answered, in base64.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from uuid import UUID

from django.core.exceptions import TooManyFieldsSent
from django.http import HttpRequest

from exchange.base import ids
from exchange.base.http.json_decoding import invalid
from exchange.base.http.problems import FieldError, Problem

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
_NUMBER = re.compile(r"[0-9]{1,6}")
_SECONDS = re.compile(r"-?[0-9]{1,10}")  # from 1653 to 2286
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class Query:
    def __init__(self, request: HttpRequest) -> None:
        try:
            self._given = request.GET
        except TooManyFieldsSent:
            raise Problem(400, "invalid_request", "The query string has too many parameters.") from None
        self._known: list[str] = []
        self.errors: list[FieldError] = []

    def text(self, name: str) -> str | None:
        """The parameter as it is; None if it is not there, or in error: given more than once, or no text."""
        self._known.append(name)
        values = self._given.getlist(name)
        if len(values) > 1:
            self.wrong(name, "is given more than once")
        if any("\0" in value for value in values):  # which PostgreSQL has no text for
            self.wrong(name, "must not have a NUL character")
            return None
        return values[0] if len(values) == 1 else None

    def limit(self, default: int = DEFAULT_LIMIT, most: int = MAX_LIMIT) -> int:
        return self.count("limit", most) or default

    def count(self, name: str, most: int) -> int | None:
        """A whole number from 1 to `most`; None if there is none, or if it is wrong."""
        text = self.text(name)
        if text is None:
            return None
        if _NUMBER.fullmatch(text) and 1 <= int(text) <= most:
            return int(text)
        self.wrong(name, f"must be a whole number from 1 to {most}")
        return None

    def flag(self, name: str) -> bool:
        """`true` or `false`; false if it is not there."""
        text = self.text(name)
        if text not in (None, "true", "false"):
            self.wrong(name, "must be true or false")
        return text == "true"

    def moment(self, name: str, *, epoch: bool = False) -> datetime | None:
        """An RFC 3339 time, in UTC; with `epoch` it may be whole seconds since 1970 as well."""
        text = self.text(name)
        if text is None:
            return None
        if epoch and _SECONDS.fullmatch(text):
            return datetime.fromtimestamp(int(text), UTC)
        moment = _moment(text) if _MOMENT.fullmatch(text) else None
        if moment is None:
            or_seconds = " or seconds since 1970" if epoch else ""
            self.wrong(name, f"must be a time with its offset, such as 2026-01-31T09:30:00Z{or_seconds}")
        return moment

    def seconds(self, name: str, *, required: bool = False) -> datetime | None:
        """Whole seconds since 1970, as a time in UTC."""
        text = self.text(name)
        if text is not None and _SECONDS.fullmatch(text):
            return datetime.fromtimestamp(int(text), UTC)
        if text is not None or required:
            self.wrong(name, "must be whole seconds since 1970", "missing" if text is None else "invalid")
        return None

    def cursor(self) -> UUID | None:
        """The id of the last row of the page before."""
        text = self.text("cursor")
        if text is None:
            return None
        key = _key(text)
        if key is None:
            self.wrong("cursor", "must be the next_cursor of an earlier answer to the same request")
        return key

    def wrong(self, name: str, detail: str, code: str = "invalid") -> None:
        self.errors.append(FieldError(name, code, detail))

    def check(self) -> None:
        """Raises Problem 400 if anything was wrong, or given and never asked for."""
        known = ", ".join(self._known) or "there are none"
        for name in sorted(self._given.keys() - set(self._known)):
            self.wrong(name[:50], f"is not a parameter here: {known}", "unknown")
        if self.errors:
            raise invalid(self.errors)


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # a day or an hour that there is not
        return None


def to_cursor(key: UUID) -> str:
    """The cursor that `Query.cursor` reads back."""
    return base64.urlsafe_b64encode(key.bytes).rstrip(b"=").decode()


def _key(text: str) -> UUID | None:
    try:
        key = UUID(bytes=base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        ids.moment(key)
    except (ValueError, OverflowError):  # no base64, not 16 bytes, or no time there is
        return None
    return key
