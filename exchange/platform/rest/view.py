"""The base of every REST view: authentication, dispatch, and JSON in and out, in microseconds.

`ApiView` is DRF's `APIView` only so that drf-spectacular can describe it: `dispatch` leaves out DRF's
request, negotiation and renderers, which cost more than the rest of an order's way through the web process. A
handler gets Django's own request (with `member` and `trace_id`) and returns an `HttpResponse`, mostly through
`answer`. Callers are known by bearer tokens or by the signature of an API key, never by cookies, so CSRF does
not apply (`APIView.as_view` exempts it).

Why it is so: docs/decisions/026-rest-without-drf.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import msgspec
import psycopg
import structlog
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from rest_framework.views import APIView

from exchange.base import origin
from exchange.base.http import json_decoding
from exchange.base.http.openapi import ApiSchema
from exchange.base.http.problems import Problem, database_unavailable, unexpected
from exchange.base.http.trace_middleware import trace_id
from exchange.platform.keys import signed_requests
from exchange.platform.members import authentication, rate_limit
from exchange.platform.members.authentication import Member

T = TypeVar("T")

MAX_BODY = 1_000_000  # bytes; DATA_UPLOAD_MAX_MEMORY_SIZE refuses more before it is read

log = structlog.get_logger(__name__)
_encoder = msgspec.json.Encoder()
_DATABASE_AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)


class ApiRequest(HttpRequest):
    """What a handler gets. `member` is set on views with a `permission` only."""

    member: Member
    trace_id: str


class ApiView(APIView):
    """Subclasses set `permission` and write `get`, `post`, `put`, `patch` or `delete`."""

    permission: ClassVar[str | None] = None  # such as "orders:write"; None: public
    keys_allowed: ClassVar[bool] = True  # False: only who has signed in
    schema = ApiSchema()

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        member: Member | None = None
        try:
            method = request.method.lower()
            handler = getattr(self, method, None) if method in self.http_method_names else None
            if handler is None:
                raise self._not_allowed(request.method)
            if self.permission is not None:
                member = request.member = member_of(request, self.permission)
                if member.key_id and not self.keys_allowed:
                    raise Problem(403, "sign_in_required", "No API key may do this: sign in.")
            response: HttpResponseBase = handler(request, *args, **kwargs)
        except Problem as problem:
            if problem.status == 403 and member is not None and member.key_id:
                signed_requests.note_refusal(request, member, problem.code)
            return problem.response(trace_id(request))
        except _DATABASE_AWAY as error:
            log.warning("database unavailable", error=str(error).strip())
            return database_unavailable().response(trace_id(request))
        except Exception:
            log.exception("request failed", method=request.method, path=request.path)
            return unexpected().response(trace_id(request))
        return response

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # type: ignore[override]
        return HttpResponse(status=204, headers={"Allow": ", ".join(self.allowed_methods)})

    def _not_allowed(self, method: str) -> Problem:
        allowed = ", ".join(self.allowed_methods)
        return Problem(
            405,
            "method_not_allowed",
            f"{method} is not possible here: use {allowed}.",
            headers={"Allow": allowed},
        )


class NotFoundView(ApiView):
    """What is not an address of the API."""

    schema: Any = None

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return Problem(404, "not_found", f"{request.path} is not an address here.").response(
            trace_id(request)
        )


def member_of(request: HttpRequest, permission: str) -> Member:
    """Who sent the request, by the access token it has or else by the API key that signed it. Raises Problem."""
    authorization = request.META.get("HTTP_AUTHORIZATION")
    if authorization is None and signed_requests.KEY_HEADER in request.META:
        member = signed_requests.authenticate(request, permission, _read)
    else:
        member = authentication.authenticate(authorization, permission)
    origin.identify(
        actor=member.user_id,
        role=member.role,
        institution=member.institution_id or "",
        key_id=member.key_id,
    )
    return member


def is_signed_in(request: HttpRequest) -> bool:
    """Whether a request says who sent it, rightly or not: for views that are public as well."""
    return "HTTP_AUTHORIZATION" in request.META or signed_requests.KEY_HEADER in request.META


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """`body` as JSON: structs, dataclasses, dicts; decimals become strings, UTC times RFC 3339."""
    return HttpResponse(
        _encoder.encode(body), status=status, content_type="application/json", headers=headers
    )


def body(request: HttpRequest, type: type[T]) -> T:
    """The request's JSON body as a `type`, checked strictly.

    Raises Problem: 400 `invalid_request` naming every field that is wrong and what would be right, 411
    without a length, 413 above a megabyte, 415 for anything that does not call itself JSON.
    """
    return json_decoding.decode(raw_body(request), type)


def raw_body(request: HttpRequest) -> bytes:
    """The request's JSON body, undecoded. Raises Problem as `body` does, but for what is inside."""
    if request.content_type != "application/json":
        raise Problem(
            415, "unsupported_media_type", "The body must be JSON: send Content-Type: application/json."
        )
    if "HTTP_TRANSFER_ENCODING" in request.META:
        raise Problem(411, "length_required", "Send the body with a Content-Length.")
    return _read(request)


def _read(request: HttpRequest) -> bytes:
    try:
        return request.body
    except RequestDataTooBig:
        raise Problem(413, "body_too_large", f"The body may have at most {MAX_BODY} bytes.") from None
    except UnreadablePostError:
        raise Problem(400, "invalid_request", "The body ended early.") from None


def charge(member: Member, cost: int) -> dict[str, str]:
    """Spend `cost` orders of the member's rate; the RateLimit fields for the answer. Raises Problem 429."""
    (allowance,) = rate_limit.spend([rate_limit.Spending(member, cost)])
    return allowed(allowance, cost)


def allowed(allowance: rate_limit.Allowance, cost: int) -> dict[str, str]:
    """The RateLimit fields of what was spent. Raises Problem 429 if it was too much."""
    if not allowance.allowed:
        raise rate_limit.refusal(allowance, cost)
    return rate_limit.headers(allowance)
