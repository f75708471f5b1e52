"""Who has guessed wrong too often may not try again for a while: by e-mail and address, in PostgreSQL.

django-axes counts and decides; it is called here with who asks. Sign-in writes nothing but a failure, and
removes what it counted when a sign-in succeeds. No other request comes near.
"""

from __future__ import annotations

import math
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_cool_off
from axes.models import AccessAttempt
from django.contrib.auth.signals import user_login_failed
from django.db.models import Max
from django.http import HttpRequest
from django.utils import timezone

from exchange.base.http.client_address import client_address

UNKNOWN = "0.0.0.0"  # noqa: S104 - what stands for the address of a local socket, which has none


def username(request: HttpRequest | None, credentials: dict[str, Any] | None) -> str:
    """Small letters, so that other spellings of an e-mail are no further attempts."""
    return str((credentials or {}).get("username") or "").strip().lower()[:255].replace("\0", "")


def address(request: HttpRequest) -> str:
    return client_address(request) or UNKNOWN


def failed(request: HttpRequest, email: str) -> None:
    """A wrong code counts like a wrong password."""
    user_login_failed.send(sender=__name__, credentials={"username": email}, request=request)


def seconds_left(request: HttpRequest, email: str) -> int:
    """How long `email` is locked out from this address; 0: not at all."""
    if AxesProxyHandler.is_allowed(request, {"username": email}):
        return 0
    rows = AccessAttempt.objects.filter(username=email, ip_address=address(request))
    last = rows.aggregate(last=Max("attempt_time"))["last"]
    cool_off = get_cool_off(request)
    assert cool_off is not None, "the settings have one"
    until = (last or timezone.now()) + cool_off
    return max(1, math.ceil((until - timezone.now()).total_seconds()))


def forgive(request: HttpRequest, email: str) -> None:
    """Signed in: what was counted before is forgotten."""
    AxesProxyHandler.reset_attempts(username=email, ip_address=address(request))
