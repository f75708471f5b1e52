"""From an Authorization header to a `Member`, in a few microseconds.

What a token says is checked once; what the database says about its user is read again after `KEEP_SECONDS`,
so a user who was deactivated, or got another role or rate, is treated so within that time.
"""

from __future__ import annotations

import time

import msgspec

from exchange.errors import Problem
from exchange.members import selectors, tokens
from exchange.members.models import PERMISSIONS
from exchange.recent import Recent

KEEP_SECONDS = 1.0


class Member(msgspec.Struct, frozen=True):
    """Who makes a request. `order_rate` is in orders a second."""

    user_id: str
    institution_id: str | None
    role: str
    permissions: frozenset[str]
    order_rate: int


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
        raise tokens.unauthorized("not_authenticated", "Send an access token: Authorization: Bearer <token>.")
    member = find(authorization[7:].strip())
    if permission not in member.permissions:
        raise Problem(403, "forbidden", f"This needs the permission {permission}.")
    return member


def find(token: str) -> Member:
    """The member of an access token. Raises Problem 401; database errors."""
    user_id = tokens.verify(token).user_id
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
    _known.put(user_id, _Known(member, now))
    return member


def forget() -> None:
    """Read everybody anew at their next request."""
    _known.clear()


def _read(user_id: str) -> Member:
    standing = selectors.standing(user_id)
    if standing is None:
        raise tokens.unauthorized("invalid_token", "The user of this token may not sign in.")
    return Member(
        user_id,
        standing.institution_id,
        standing.role,
        frozenset(PERMISSIONS[standing.role]),
        standing.order_rate,
    )
