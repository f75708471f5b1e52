"""Failures that a caller is answered: RFC 9457 problems with a stable `code`.

`Problem` is raised where the edge of the system finds out that it cannot do what was asked;
`exchange.platform.rest.view` turns it into an answer. Inside the domain an expected failure is a value, not one of
these.
"""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpResponse

CONTENT_TYPE = "application/problem+json"


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field of a request. `field` is a path such as `orders[3].price`."""

    field: str
    code: str
    detail: str


class Problem(Exception):
    """An answer other than 2xx. `detail` is for people, `code` for programs, `extra` goes beside them."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        fields: list[FieldError] | None = None,
        headers: dict[str, str] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.fields = fields or []
        self.headers = headers or {}
        self.extra = extra or {}

    def body(self, trace_id: str) -> dict[str, Any]:
        """The problem as RFC 9457 section 3 has it; `errors` only where fields are named."""
        body: dict[str, Any] = {
            "type": f"urn:problem:{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "trace_id": trace_id,
        }
        if self.fields:
            body["errors"] = self.fields
        return body | self.extra

    def response(self, trace_id: str) -> HttpResponse:
        return HttpResponse(
            msgspec.json.encode(self.body(trace_id)),
            status=self.status,
            content_type=CONTENT_TYPE,
            headers=self.headers,
        )


def database_unavailable() -> Problem:
    return Problem(
        503, "database_unavailable", "The database does not answer; try again.", headers={"Retry-After": "1"}
    )


def unexpected() -> Problem:
    """For an unexpected error: no details go out, the log has them under the same trace id."""
    return Problem(500, "internal_error", "Something went wrong; quote the trace_id when you report it.")
