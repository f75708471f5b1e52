"""Why a payment cannot go on: a stable code for programs, words for people."""

from __future__ import annotations


class Refused(Exception):
    """Nothing has happened. `code` is one of the API's, such as `insufficient_funds`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Missing(Exception):
    """There is no such payment, or the caller may not see it."""
