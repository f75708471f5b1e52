"""Which device a user signs in from, and whether they did so before.

    a browser   has a long random id in a cookie, which the terminal gives it and no script can read
    a program   sends `X-Device-ID`, at least 16 characters that it made once and keeps; one that sends none is
                known by its network (/24, or /48 in IPv6), so that it may have another address tomorrow

and either by the family of its user agent too, without versions: an id that turns up in another program was
copied. The database has a digest only: who reads it cannot pass for a known device.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.http import HttpRequest

from exchange.base.http.client_address import client_address
from exchange.base.http.problems import Problem
from exchange.platform.audit import sign_in_signals
from exchange.platform.events import outbox
from exchange.platform.events.topics import ACCOUNTS
from exchange.platform.members.models import KnownDevice, User

HEADER = "X-Device-ID"
KEPT = 50  # devices of a user: those seen last
LONGEST_NAME = 60

_ID = re.compile(r"[A-Za-z0-9._~-]{16,128}")
_NAMED = re.compile(r"[^A-Za-z0-9 ._+-]")
# The first that is in the user agent: browsers name those whose pages they want to be shown.
_BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser/": "Samsung Internet",
    "Firefox/": "Firefox",
    "FxiOS/": "Firefox",
    "CriOS/": "Chrome",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
_SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "CrOS": "ChromeOS",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}

# True where the row is new.
_SEEN = """
    INSERT INTO members_knowndevice (user_id, fingerprint, name, first_seen_at, last_seen_at)
    VALUES (%(user)s, %(fingerprint)s, %(name)s, %(now)s, %(now)s)
        ON CONFLICT (user_id, fingerprint) DO UPDATE SET last_seen_at = EXCLUDED.last_seen_at
    RETURNING xmax = 0"""


class Device(NamedTuple):
    """`name` is for people, such as "Firefox on Linux"."""

    name: str
    fingerprint: str
    address: str


def of_program(request: HttpRequest) -> Device:
    """Raises Problem 400 for an `X-Device-ID` of another form."""
    given = request.META.get("HTTP_X_DEVICE_ID")
    if given is not None and not _ID.fullmatch(given):
        raise Problem(
            400,
            "invalid_device_id",
            f"{HEADER} must be 16 to 128 letters, digits or . _ ~ - that only you know.",
        )
    return _device(request, given or f"network {_network(client_address(request))}")


def of_browser(request: HttpRequest, device_id: str) -> Device:
    """`device_id` is that of `browser_id`."""
    return _device(request, device_id)


def browser_id(cookie: str | None) -> str:
    """The id in a browser's cookie; a new one where there is none of ours."""
    return cookie if cookie and _ID.fullmatch(cookie) else secrets.token_urlsafe(24)


@transaction.atomic
def signed_in(user: User, device: Device, *, trace_id: str) -> bool:
    """Remember the device and record the sign-in; True if the user has never signed in from it."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "user": user.pk,
        "fingerprint": device.fingerprint,
        "name": device.name,
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(_SEEN, values)
        is_new: bool = cursor.fetchone()[0]
    if is_new:
        _forget_oldest(user)
    payload = {
        "user_id": str(user.pk),
        "device": device.name,
        "new_device": is_new,
        "address": device.address,
    }
    outbox.append(ACCOUNTS, str(user.pk), "SIGNED_IN", payload, trace_id=trace_id)
    sign_in_signals.record_action("sign_in", user, device=device.name, new_device=is_new)
    return is_new


def family(user_agent: str) -> str:
    """The program and, of a browser, the system; without versions, which change by themselves."""
    browser = next((name for mark, name in _BROWSERS.items() if mark in user_agent), None)
    if browser is not None and user_agent.startswith("Mozilla/"):
        system = next((name for mark, name in _SYSTEMS.items() if mark in user_agent), None)
        return f"{browser} on {system}" if system else browser
    program = _NAMED.sub("", user_agent.partition("/")[0]).strip()
    return program[:LONGEST_NAME] or "unknown program"


def _device(request: HttpRequest, known_by: str) -> Device:
    name = family(request.META.get("HTTP_USER_AGENT", ""))
    fingerprint = hashlib.sha256(f"{name}\n{known_by}".encode()).hexdigest()
    return Device(name, fingerprint, client_address(request))


def _network(address: str) -> str:
    try:
        version = ip_address(address).version
    except ValueError:  # a socket in the file system has none
        return address
    return str(ip_network(f"{address}/{24 if version == 4 else 48}", strict=False))


def _forget_oldest(user: User) -> None:
    """A user with a new device each time must not fill the table."""
    kept = KnownDevice.objects.filter(user=user).order_by("-last_seen_at", "-pk")
    KnownDevice.objects.filter(user=user).exclude(pk__in=kept.values("pk")[:KEPT]).delete()
