"""The stream process's application: WebSocket at /stream, and a sign of life over HTTP.

`manage.py stream` serves it.
"""

from __future__ import annotations

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")
get_asgi_application()  # sets Django up; its HTTP side is not served here

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 - needs Django's settings
from django.urls import path  # noqa: E402

from marketdata.stream.client_requests import StreamConsumer  # noqa: E402

_JSON = [(b"content-type", b"application/json")]


async def http(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """GET /health/live; all else is on the web process."""
    found = scope["path"] == "/health/live"
    body = (
        b'{"status":"live"}' if found else b'{"detail":"WebSocket is at /stream, REST on the web process."}'
    )
    await send({"type": "http.response.start", "status": 200 if found else 404, "headers": _JSON})
    await send({"type": "http.response.body", "body": body})


async def nothing_here(scope: dict[str, Any], receive: Any, send: Any) -> Any:
    """A WebSocket at any other path is closed before it is opened, which the client sees as 403."""
    await send({"type": "websocket.close"})


application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": URLRouter(
            [path("stream", StreamConsumer.as_asgi()), path("<path:other>", nothing_here)]
        ),
    }
)
