"""The terminal's page. It holds what does not change while it is open; the rest comes over REST and the feed."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

from exchange.base.env import env
from exchange.pages import stream_url
from exchange.platform.members import branding
from exchange.terminal.messages import catalogue
from trading.reference.catalog import Market, catalog

INTERVALS = ["1m", "5m", "15m", "1h", "4h", "1d"]
PARTS = [25, 50, 75, 100]  # percent of what is available, as buttons
AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)


@require_safe
def front(request: HttpRequest) -> HttpResponse:
    """To the oldest market; without one, or without the database, to the page that says what runs."""
    try:
        market = min(catalog.markets(), key=lambda each: each.id, default=None)
    except AWAY:
        market = None
    return redirect("trade", market.slug) if market else redirect("status")


@require_safe
def trade(request: HttpRequest, slug: str) -> HttpResponse:
    try:
        market = catalog.market(slug)
        if market is None or market.slug != slug:
            raise Http404("no such market")
        page = _page(request, market)
    except AWAY:
        return redirect("status")
    response = render(request, "terminal/trade.html", page)
    response.headers["Content-Security-Policy"] = _policy(page["stream_url"])
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _page(request: HttpRequest, market: Market) -> dict[str, Any]:
    host, _ = split_domain_port(request.get_host())
    look = branding.of_host(host)
    address = stream_url(request)
    return {
        "market": market,
        "look": look,
        "stream_url": address,
        "languages": settings.LANGUAGES,
        "intervals": INTERVALS,
        "parts": PARTS,
        "demo": env.exchange_demo,
        "messages": catalogue(),
        "config": {
            "symbol": market.symbol,
            "language": get_language() or settings.LANGUAGE_CODE,
            "brand": look.name,
            "stream": address,
            "session": reverse("trade-session"),
            "csrf": get_token(request),
        },
    }


def _policy(address: str) -> str:
    """Nothing but our own files and the feed. No script may make HTML from text (Trusted Types)."""
    parts = urlsplit(address)
    # A numeric IPv6 host cannot be written in a policy: there, the scheme has to do.
    stream = f"{parts.scheme}:" if "[" in parts.netloc else f"{parts.scheme}://{parts.netloc}"
    return (
        "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        f"script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {stream}; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
