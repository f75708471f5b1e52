"""SMS, by a gateway of the institution's choice over HTTP, or to the console where SMS_URL is empty.

    POST {SMS_URL}   Authorization: Bearer {SMS_TOKEN}   {"to": "+905551112233", "text": "…", "reference": "…"}

is answered with 2xx once the gateway has taken it, with 429, 500 or 503 if it has not and may be asked again, with any
other 4xx if it never will. A gateway that sees a `reference` twice may leave the second one out.
"""

from __future__ import annotations

import sys
from typing import Protocol

import httpx

from exchange.base.env import env
from exchange.platform.notifications.outcomes import NotTaken, Refused, Unanswered
from exchange.platform.notifications.rendering import RenderedMessage

TIMEOUT = 10.0  # seconds for each step of a request
LATER = frozenset({429, 500, 503})


class Provider(Protocol):
    """Hands a message over. One belongs to one thread."""

    name: str

    def send(self, message: RenderedMessage) -> None:
        """Raises what `outcomes` has."""


class ConsoleSms:
    name = "SMS"

    def send(self, message: RenderedMessage) -> None:
        """The number is a person's, and a console is often kept as a log."""
        sys.stdout.write(f"SMS to {message.to[:3]}…{message.to[-2:]}\n{message.body}\n{'-' * 79}\n")
        sys.stdout.flush()


class HttpSms:
    name = "SMS"

    def __init__(self, url: str, token: str, timeout: float = TIMEOUT) -> None:
        self._url = url
        self._client = httpx.Client(
            timeout=timeout,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            limits=httpx.Limits(max_keepalive_connections=0),  # one that was kept open fails when it counts
        )

    def send(self, message: RenderedMessage) -> None:
        body = {"to": message.to, "text": message.body, "reference": message.reference}
        try:
            status = self._client.post(self._url, json=body).status_code
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NotTaken(type(error).__name__) from None
        except httpx.HTTPError as error:
            raise Unanswered(type(error).__name__) from None
        if status in LATER:
            raise NotTaken(f"HTTP {status}")
        if status >= 500:  # such as 504: what is behind it may have it
            raise Unanswered(f"HTTP {status}")
        if not 200 <= status < 300:
            raise Refused(f"HTTP {status}")


def provider() -> Provider:
    return HttpSms(env.sms_url, env.sms_token) if env.sms_url else ConsoleSms()
