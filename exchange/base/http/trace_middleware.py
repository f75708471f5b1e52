"""Every request has a trace id: the caller's `X-Request-ID` if it is sound, else a new one; it goes back in
the answer.

The same layer counts requests: it is the only one that all of them pass.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Histogram
from structlog.contextvars import bound_contextvars

from exchange.base import ids, metrics
from exchange.base.http.client_address import client_address
from exchange.base.origin import LONGEST_AGENT, Origin, acting

_SOUND = re.compile(r"[A-Za-z0-9._-]{1,64}")
_EMPTY = (204, 304)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Trace:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        trace_id = given if _SOUND.fullmatch(given) else ids.uuid7()
        request.trace_id = trace_id  # type: ignore[attr-defined]
        agent = request.META.get("HTTP_USER_AGENT", "")[:LONGEST_AGENT]
        origin = Origin(address=client_address(request), agent=agent, trace_id=trace_id)
        with bound_contextvars(trace_id=trace_id), acting(origin):
            response = self.get_response(request)
        if not (
            response.streaming or response.status_code in _EMPTY or response.has_header("Content-Length")
        ):
            response.headers["Content-Length"] = str(len(response.content))
        response.headers["X-Request-ID"] = trace_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        self._count(request, response.status_code, time.perf_counter() - started)
        return response

    def _count(self, request: HttpRequest, status: int, seconds: float) -> None:
        match = request.resolver_match
        route = match.route if match else "other"
        method = request.method if request.method in _METHODS else "other"
        key = (method, route, status)
        series = self._series.get(key)
        if series is None:
            counter = metrics.http_requests.labels(method, route, status)
            series = self._series[key] = (counter, metrics.http_seconds.labels(route))
        series[0].inc()
        series[1].observe(seconds)


def trace_id(request: HttpRequest) -> str:
    """The request's trace id; empty outside `Trace`."""
    return getattr(request, "trace_id", "")
