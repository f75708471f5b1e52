"""Connections that an API key signs in: with what, and whether they still may.

What is signed is `GET /stream`, without a query and a body, as for any request
(`exchange.platform.keys.signatures`). A token ends by itself within the hour; a key may not end at all, so the hub
asks again every few seconds whether it was revoked meanwhile, its user deactivated, or the address taken from its
list.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from exchange.base.http.problems import Problem
from exchange.platform.keys import key_cache, signatures, signed_requests
from exchange.platform.members.authentication import Member
from marketdata.stream.messages import Auth

PATH = b"/stream"


class Use(NamedTuple):
    """A key, and an address that it is used from."""

    key_id: str
    address: str


def sign_in(message: Auth, address: str, agent: str) -> tuple[Member, float]:
    """The member, and until when (seconds since the epoch; infinite for a key without an end). Raises Problem;
    database errors."""
    claim = signed_requests.claimed(
        message.api_key, str(message.timestamp), str(message.window), message.signature
    )

    def text() -> bytes:
        return signatures.message("GET", PATH, b"", b"", claim.timestamp, claim.window)

    member, key = signed_requests.verify(claim, text, None, address, agent)
    return member, key.expires_at


def refused(uses: Iterable[Use]) -> dict[Use, Problem]:
    """Those that may not go on, and why. Raises database errors."""
    found = {}
    for use in uses:
        key = key_cache.find(use.key_id)
        try:
            if key is None:
                raise signed_requests.refusal(401, "unknown_key", "There is no API key with this id.")
            signed_requests.active_member(key, use.address)
        except Problem as problem:
            found[use] = problem
    return found
