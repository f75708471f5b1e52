"""From an Authorization header to a `Member`, in a few microseconds.

What a token says is checked once; what the database says about its user is read again after `KEEP_SECONDS`,
so a user who was deactivated, or got another role or rate, is treated so within that time.
"""

from __future__ import annotations

import time

import msgspec

from exchange.base.bounded_cache import Recent
from exchange.base.http.problems import Problem
from exchange.platform.members import selectors, tokens
from exchange.platform.members.models import PERMISSIONS
from exchange.platform.members.scopes import scope_for

KEEP_SECONDS = 1.0


class Member(msgspec.Struct, frozen=True):
    """Who makes a request. `order_rate` is in orders a second. `key_id` is that of the API key which signed it;
    empty for who has signed in. A key's permissions are those of its user that its scopes give."""

    user_id: str
    institution_id: str | None
    role: str
    permissions: frozenset[str]
    order_rate: int
    key_id: str = ""


class _Known:
    __slots__ = ("member", "read_at")

    def __init__(self, member: Member, read_at: float) -> None:
        self.member = member
        self.read_at = read_at


_known: Recent[str, _Known] = Recent(10_000)


def authenticate(authorization: str | None, permission: str) -> Member:
    """The member that an `Authorization: Bearer …` header stands for.

    Raises Problem: 401 `not_authenticated` or `invalid_token`, 403 `forbidden` without the permission;
    database errors.
    """
    if not authorization or authorization[:7].lower() != "bearer ":
        detail = "Send an access token, Authorization: Bearer <token>, or sign the request with an API key."
        raise tokens.unauthorized("not_authenticated", detail)
    member = find(authorization[7:].strip())
    require(member, permission)
    return member


def require(member: Member, permission: str) -> None:
    """Raises Problem 403: `scope_missing` where only the API key lacks it, else `forbidden`."""
    if permission in member.permissions:
        return
    if member.key_id and permission in PERMISSIONS[member.role]:
        scope = scope_for(permission)
        detail = f"This API key needs the scope {scope}." if scope else "No API key may do this: sign in."
        raise Problem(403, "scope_missing", detail, extra={"scope": scope})
    raise Problem(403, "forbidden", f"This needs the permission {permission}.")


def find(token: str) -> Member:
    """The member of an access token. Raises Problem 401; database errors."""
    member = of_user(tokens.verify(token).user_id)
    if member is None:
        raise tokens.unauthorized("invalid_token", "The user of this token may not sign in.")
    return member


def of_user(user_id: str) -> Member | None:
    """The user as a member; None if they may not sign in. Raises database errors."""
    known = _known.get(user_id)
    now = time.monotonic()
    if known is not None:
        if now - known.read_at < KEEP_SECONDS:
            return known.member
        known.read_at = now  # while this thread reads, the others go on with what is known
    try:
        member = _read(user_id)
    except BaseException:
        _known.drop(user_id)
        raise
    if member is None:
        _known.drop(user_id)
    else:
        _known.put(user_id, _Known(member, now))
    return member


def clear_cache() -> None:
    """Read each user again at their next request."""
    _known.clear()


def _read(user_id: str) -> Member | None:
    membership = selectors.active_membership(user_id)
    if membership is None:
        return None
    return Member(
        user_id,
        membership.institution_id,
        membership.role,
        frozenset(PERMISSIONS[membership.role]),
        membership.order_rate,
    )
