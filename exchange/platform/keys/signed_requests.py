"""From a signed request to a `Member`.

    signature good? → key neither revoked nor expired, user may sign in? → address? → permission? → never seen before?

Nothing but a good signature learns of a key more than that it exists. What is refused here uses no signature up, so
a refusal for the address stays that when it is repeated.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from django.http import HttpRequest

from exchange.base.http.client_address import client_address
from exchange.base.http.problems import Problem
from exchange.platform.keys import key_cache, last_used, replay_protection, signatures
from exchange.platform.keys.key_cache import CachedKey
from exchange.platform.keys.replay_protection import AHEAD
from exchange.platform.members import authentication
from exchange.platform.members.authentication import Member

KEY_HEADER = "HTTP_X_API_KEY"
DEFAULT_WINDOW = "5000"  # ms
MAX_WINDOW = 60_000

_CHALLENGE = {"WWW-Authenticate": "ApiKey"}
_TIMESTAMP = re.compile(r"[1-9][0-9]{0,14}")
_WINDOW = re.compile(r"[1-9][0-9]{0,4}")
_SIGNATURE = re.compile(r"[!-~]{1,128}")


class Claim(NamedTuple):
    """What a caller says: which key, when, and a signature over it."""

    key_id: str
    timestamp: str
    window: str
    signature: str


def authenticate(request: HttpRequest, permission: str, read: Callable[[HttpRequest], bytes]) -> Member:
    """The member whose API key signed the request; `read` gives its body. Raises Problem; database errors."""
    meta = request.META
    claim = _of_headers(meta)

    def message() -> bytes:
        path, query = meta["PATH_INFO"].encode("latin-1"), meta.get("QUERY_STRING", "").encode("latin-1")
        return signatures.message(
            request.method or "", path, query, read(request), claim.timestamp, claim.window
        )

    agent = meta.get("HTTP_USER_AGENT", "")
    return verify(claim, message, permission, client_address(request), agent)[0]


def verify(
    claim: Claim, message: Callable[[], bytes], permission: str | None, address: str, agent: str
) -> tuple[Member, CachedKey]:
    """The member and the key of a claim over `message`. Without a permission none is asked for."""
    timestamp, window = _times(claim)
    key = key_cache.find(claim.key_id)
    if key is None:
        raise refusal(401, "unknown_key", "There is no API key with this id.")
    try:
        signed = message()
        if not (_SIGNATURE.fullmatch(claim.signature) and key.check(signed, claim.signature)):
            raise refusal(
                401, "invalid_signature", "The signature does not fit the request: see docs/api_keys.md."
            )
        member = active_member(key, address)
        if permission is not None:
            authentication.require(member, permission)
        _once(key, signed, timestamp, window)
    except Problem as problem:
        if problem.status in (401, 403):
            last_used.refused(key.id, problem.code, address, agent)
        raise
    last_used.used(key.id, address)
    return member, key


def note_refusal(request: HttpRequest, member: Member, code: str) -> None:
    """A view has refused what a key asked for."""
    agent = request.META.get("HTTP_USER_AGENT", "")
    last_used.refused(member.key_id, code, client_address(request), agent)


def active_member(key: CachedKey, address: str) -> Member:
    """The member that a key stands for at this moment, from this address. Raises Problem."""
    if key.revoked:
        raise refusal(401, "key_revoked", "This API key was revoked.")
    if key.expired(time.time()):
        raise refusal(401, "key_expired", "This API key has expired.")
    user = authentication.of_user(key.user_id)
    if user is None:
        raise refusal(401, "user_inactive", "The user of this API key may not sign in.")
    if not key.allows(address):
        detail = f"This API key may not be used from {address or 'here'}."
        raise Problem(403, "address_not_allowed", detail, extra={"address": address})
    return key.member(user)


def refusal(status: int, code: str, detail: str, **extra: Any) -> Problem:
    return Problem(status, code, detail, headers=dict(_CHALLENGE), extra=extra)


def claimed(key_id: str, timestamp: str, window: str | None, signature: str) -> Claim:
    """Raises Problem for a timestamp or window that is none."""
    window = DEFAULT_WINDOW if window is None else window
    if not _TIMESTAMP.fullmatch(timestamp):
        raise _unsound("X-API-Timestamp must be whole milliseconds since 1970.")
    if not _WINDOW.fullmatch(window) or int(window) > MAX_WINDOW:
        raise _unsound(f"X-API-Window must be whole milliseconds from 1 to {MAX_WINDOW}.")
    return Claim(key_id, timestamp, window, signature)


def _of_headers(meta: Mapping[str, Any]) -> Claim:
    timestamp, signature = meta.get("HTTP_X_API_TIMESTAMP"), meta.get("HTTP_X_API_SIGNATURE")
    if not timestamp or not signature:
        missing = "X-API-Timestamp" if not timestamp else "X-API-Signature"
        raise refusal(401, "not_authenticated", f"A request with X-API-Key needs {missing} too.")
    return claimed(meta[KEY_HEADER], timestamp, meta.get("HTTP_X_API_WINDOW"), signature)


def _unsound(detail: str) -> Problem:
    return refusal(401, "timestamp_outside_window", detail, server_time=_now())


def _times(claim: Claim) -> tuple[int, int]:
    """Cheap, and first: who has a wrong clock learns of that and not of a signature. What counts is the clock of the
    database, see `_once`."""
    timestamp, window, now = int(claim.timestamp), int(claim.window), _now()
    if timestamp > now + AHEAD or timestamp + window < now:
        raise _outside(timestamp, window, now)
    return timestamp, window


def _once(key: CachedKey, signed: bytes, timestamp: int, window: int) -> None:
    outcome, now = replay_protection.remember(signatures.fingerprint(key.id, signed), timestamp, window)
    if outcome is replay_protection.Outcome.NEW:
        return
    if outcome is replay_protection.Outcome.OUTSIDE:
        raise _outside(timestamp, window, now)
    if outcome is replay_protection.Outcome.UNSURE:
        detail = "The exchange cannot know whether it has seen this request before: sign it again in a few seconds."
        raise Problem(503, "replay_check_starting", detail, headers={"Retry-After": "5"})
    raise refusal(401, "replayed", "This very request was sent before: sign it again, with a new timestamp.")


def _outside(timestamp: int, window: int, now: int) -> Problem:
    apart = now - timestamp
    said = f"{apart} ms old" if apart >= 0 else f"{-apart} ms in the future"
    detail = f"The timestamp is {said}; it may be {window} ms old (X-API-Window) or {AHEAD} ms in the future."
    return refusal(401, "timestamp_outside_window", detail, server_time=now)


def _now() -> int:
    return time.time_ns() // 1_000_000
