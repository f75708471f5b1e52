"""Django's middleware for browsers, left out of the way of API requests.

Sessions, cookies, languages and forms mean nothing to a program that comes with a bearer token, and cost as
much as the rest of Django's way to a view (measured: 215 µs with them, 105 without). Each class here is
Django's own, but for paths of the API. CSRF stays safe: its check of a view is not skipped, API views are
exempt from it one by one.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.locale import LocaleMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils.deprecation import MiddlewareMixin
from whitenoise.middleware import WhiteNoiseMiddleware

from exchange.base import origin

API = ("/api/v1/", "/udf/")


class _BrowserOnly:
    get_response: Any

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(API):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]


class Security(_BrowserOnly, SecurityMiddleware): ...


class Static(_BrowserOnly, WhiteNoiseMiddleware): ...


class Session(_BrowserOnly, SessionMiddleware):
    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response = super().process_response(request, response)
        if request.is_secure() and settings.SESSION_COOKIE_NAME in response.cookies:
            response.cookies[settings.SESSION_COOKIE_NAME]["secure"] = True
        return response


class Locale(_BrowserOnly, LocaleMiddleware): ...


class Common(_BrowserOnly, CommonMiddleware): ...


class Csrf(_BrowserOnly, CsrfViewMiddleware): ...


class Authentication(_BrowserOnly, AuthenticationMiddleware):
    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        origin.identify_later(lambda: _who(request))


class Messages(_BrowserOnly, MessageMiddleware): ...


class Frames(_BrowserOnly, XFrameOptionsMiddleware): ...


class BackOffice(_BrowserOnly, MiddlewareMixin):
    """The content policy of the back office: our own files, no other host, no frame, no inline script.

    Two directives are wider than the terminal's, for the theme's sake. `unsafe-eval`: Alpine, which drives its menus
    and switches, makes functions from attributes of the page. `unsafe-inline` for styles: the theme's colours stand
    in the page, and Alpine and the charts set styles on elements. A script smuggled into the page as text still
    does not run, and nothing can be sent to another site.
    """

    POLICY = (
        "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; "
        "script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self'; connect-src 'self'"
    )

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if request.path_info.startswith("/admin/"):
            response.headers.setdefault("Content-Security-Policy", self.POLICY)
        return response


def _who(request: HttpRequest) -> origin.Who | None:
    """For the audit log: who has this session."""
    user: Any = request.user
    return (str(user.pk), user.role, str(user.institution_id or "")) if user.is_authenticated else None
