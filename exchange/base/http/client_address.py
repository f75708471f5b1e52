"""Where a request came from: the peer, or what a proxy of ours says of it.

A header is believed only where the installation names one (EXCHANGE_FORWARDED_HEADER), and of what stands in it
only what our own proxies wrote: each appends the address it was called from, so with one proxy that is the last
entry, with two the last but one (EXCHANGE_FORWARDED_HOPS). What stands before it came from the caller.

An address is always in its one canonical form, and an IPv4 address that came in IPv6's clothes
(`::ffff:192.0.2.1`) is an IPv4 address.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any

from django.http import HttpRequest

from exchange.base.bounded_cache import Recent
from exchange.base.env import env

LONGEST = 60  # characters of an address with a port

_canonical: Recent[str, str] = Recent(10_000)


def client_address(request: HttpRequest | Mapping[str, Any]) -> str:
    """The caller's address, of a Django request or a WSGI environ; empty if there is none (a local socket)."""
    meta = request.META if isinstance(request, HttpRequest) else request
    named = env.exchange_forwarded_header
    forwarded = meta.get("HTTP_" + named.upper().replace("-", "_")) if named else None
    return _told(forwarded) or canonical(meta.get("REMOTE_ADDR") or "")


def stream_address(scope: Mapping[str, Any]) -> str:
    """The same of a WebSocket's ASGI scope."""
    named = (env.exchange_ws_forwarded_header or env.exchange_forwarded_header).lower().encode()
    given = [value.decode("latin-1") for name, value in scope.get("headers") or () if named and name == named]
    client = scope.get("client") or [""]
    return _told(",".join(given)) or canonical(client[0] or "")


def canonical(text: str) -> str:
    """The one form of an address; empty for what is none."""
    known = _canonical.get(text)
    if known is None:
        known = _parsed(text)
        _canonical.put(text, known)
    return known


def _told(forwarded: str | None) -> str:
    """What the proxies say; empty if they say nothing that we understand."""
    if not forwarded:
        return ""
    entries = forwarded.split(",")
    hops = env.exchange_forwarded_hops
    return canonical(entries[-hops].strip()) if len(entries) >= hops else ""


def _parsed(text: str) -> str:
    if len(text) > LONGEST:
        return ""
    try:
        address = ip_address(_without_port(text).partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)


def _without_port(text: str) -> str:
    """`192.0.2.1:80` and `[2001:db8::1]:80` are how some proxies write it."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
