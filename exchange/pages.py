"""Pages for people, beside the terminal and the admin: what runs, and the API's documents. None needs another
server."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe
from django.views.defaults import page_not_found, server_error
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerSplitView

from exchange import health
from exchange.base.env import env
from exchange.base.http.browser_middleware import API
from exchange.base.http.problems import Problem, unexpected
from exchange.base.http.trace_middleware import trace_id
from exchange.platform.events import asyncapi as events
from marketdata.stream import asyncapi as feeds

_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
STRICT = f"{_NOTHING}; style-src 'self'; img-src 'self'"
# Redoc styles its elements from scripts and searches in a worker made from a blob.
DOCUMENTS = (
    f"{_NOTHING}; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:"
)

View = Callable[..., HttpResponse]


def content_security(policy: str) -> Callable[[View], View]:
    """Sends `policy` with each answer of a view."""

    def decorate(view: View) -> View:
        @wraps(view)
        def secured(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            response = view(request, *args, **kwargs)
            response.headers["Content-Security-Policy"] = policy
            return response

        return secured

    return decorate


def stream_url(request: HttpRequest) -> str:
    """Where browsers reach the stream: EXCHANGE_STREAM_URL, or the request's host at the stream's port."""
    if env.exchange_stream_url:
        return env.exchange_stream_url
    host, _ = split_domain_port(request.get_host())
    return f"{'wss' if request.is_secure() else 'ws'}://{host}:{env.exchange_ws_port}/stream"


@require_safe
@content_security(STRICT)
def status(request: HttpRequest) -> HttpResponse:
    """What runs, and where to go. Works with PostgreSQL and Redis away: then it says so."""
    page = {"survey": health.survey(), "demo": env.exchange_demo, "stream_url": stream_url(request)}
    return HttpResponse(render_to_string("status.html", page), headers={"Cache-Control": "no-store"})


@cache
def _document() -> bytes:
    return msgspec.json.encode(SchemaGenerator().get_schema(request=None, public=True))


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """The OpenAPI document; it does not change while the process runs, and takes a while to make."""
    return HttpResponse(_document(), content_type="application/json")


@require_safe
def asyncapi(request: HttpRequest) -> HttpResponse:
    """The AsyncAPI document of the feeds."""
    document = feeds.document(stream_url(request))
    return HttpResponse(msgspec.json.encode(document), content_type="application/json")


@require_safe
def asyncapi_events(request: HttpRequest) -> HttpResponse:
    """The AsyncAPI document of the Kafka topics."""
    return HttpResponse(msgspec.json.encode(events.document()), content_type="application/json")


swagger = content_security(DOCUMENTS)(SpectacularSwaggerSplitView.as_view(url_name="schema"))
redoc = content_security(DOCUMENTS)(
    SpectacularRedocView.as_view(url_name="schema", template_name="redoc.html")
)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path_info.startswith(API):
        return Problem(404, "not_found", "There is nothing here.").response(trace_id(request))
    return page_not_found(request, exception)


def failed(request: HttpRequest) -> HttpResponse:
    if request.path_info.startswith(API):
        return unexpected().response(trace_id(request))
    return server_error(request)
