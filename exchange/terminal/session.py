"""Who is signed in at the terminal, between two loads of its page.

    POST /trade/session {email, password}  signs in       PUT  a new access token
    DELETE                                  signs out      (204: no user is signed in)

The refresh token lives in a cookie that scripts cannot read (HttpOnly), that goes to this address alone
(Path), from our own pages alone (SameSite=Strict, and Django's CSRF token with each request), over TLS where
there is TLS. The page's scripts hold only the access token, in memory: a script smuggled into the page could
act while it is open, but takes nothing away that outlives it, as it would from localStorage. The API itself
knows no cookies.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import wraps

import msgspec
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods
from rest_framework_simplejwt.settings import api_settings

from exchange.api import sign_in
from exchange.base.http.problems import Problem
from exchange.base.http.trace_middleware import trace_id
from exchange.platform.audit import sign_in_signals
from exchange.platform.members import devices, tokens
from exchange.platform.members.models import User
from exchange.platform.rest.view import answer
from exchange.terminal import fees

COOKIE = "terminal_refresh"
DEVICE_COOKIE = "terminal_device"  # stays when its user signs out: the next sign-in is from a known device
DEVICE_KEPT = timedelta(days=400)  # the longest that browsers grant
PATH = "/trade/session"
SECRET = {"Cache-Control": "no-store"}


class Session(msgspec.Struct):
    """`expires_in` is in seconds; `fees` are the user's rates by symbol."""

    access: str
    expires_in: int
    email: str
    may_trade: bool
    fees: dict[str, fees.Rates]


View = Callable[[HttpRequest], HttpResponse]


def _problems(view: View) -> View:
    @wraps(view)
    def answered(request: HttpRequest) -> HttpResponse:
        try:
            return view(request)
        except Problem as problem:
            return problem.response(trace_id(request))

    return answered


@require_http_methods(["POST", "PUT", "DELETE"])
@_problems
def session(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return _sign_in(request)
    if request.method == "PUT":
        return _refresh(request)
    _record_sign_out(request)
    return _signed_out()


def _record_sign_out(request: HttpRequest) -> None:
    try:
        user = sign_in.refreshed(request.COOKIES.get(COOKIE, ""))
    except Problem:
        return  # no user was signed in any more
    with transaction.atomic():
        sign_in_signals.record_action("sign_out", user)


def _sign_in(request: HttpRequest) -> HttpResponse:
    device = devices.browser_id(request.COOKIES.get(DEVICE_COOKIE))
    user = sign_in.sign_in(request, devices.of_browser(request, device))
    response = _session(user)
    _keep(request, response, COOKIE, tokens.refresh(user), api_settings.REFRESH_TOKEN_LIFETIME)
    _keep(request, response, DEVICE_COOKIE, device, DEVICE_KEPT)
    return response


def _keep(request: HttpRequest, response: HttpResponse, name: str, value: str, age: timedelta) -> None:
    response.set_cookie(
        name,
        value,
        max_age=age,
        path=PATH,
        secure=request.is_secure(),
        httponly=True,
        samesite="Strict",
    )


def _refresh(request: HttpRequest) -> HttpResponse:
    """204 and no cookie any more when it is not good: that is an answer to a page, not an error."""
    token = request.COOKIES.get(COOKIE)
    if not token:
        return HttpResponse(status=204, headers=SECRET)
    try:
        return _session(sign_in.refreshed(token))
    except Problem as problem:
        if problem.status != 401:
            raise
        return _signed_out()


def _signed_out() -> HttpResponse:
    response = HttpResponse(status=204, headers=SECRET)
    response.delete_cookie(COOKIE, path=PATH, samesite="Strict")
    return response


def _session(user: User) -> HttpResponse:
    return answer(
        Session(
            access=tokens.access(user),
            expires_in=tokens.lifetime(),
            email=user.email,
            may_trade="orders:write" in user.permissions and user.institution_id is not None,
            fees=fees.of(user),
        ),
        headers=SECRET,
    )
