"""Access and refresh tokens: JWT, RS256, with the claims user_id, institution_id, role and permissions.

The claims are for the client that holds the token; this exchange itself believes the database
(`exchange.platform.members.authentication`).
"""

from __future__ import annotations

import time
from uuid import UUID

import msgspec
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from exchange.base.bounded_cache import Recent
from exchange.base.http.problems import Problem
from exchange.platform.members.models import User


class Claims(msgspec.Struct, frozen=True, gc=False):
    """A verified access token: whose it is, and until when (seconds since the epoch)."""

    user_id: str
    expires_at: float


_verified: Recent[str, Claims] = Recent(10_000)


def access(user: User) -> str:
    token: AccessToken = AccessToken.for_user(user)
    token["institution_id"] = str(user.institution_id) if user.institution_id else None
    token["role"] = user.role
    token["permissions"] = user.permissions
    return str(token)


def refresh(user: User) -> str:
    return str(RefreshToken.for_user(user))


def lifetime() -> int:
    """Seconds for which a new access token is good."""
    return int(api_settings.ACCESS_TOKEN_LIFETIME.total_seconds())


def verify(token: str) -> Claims:
    """The claims of an access token. The signature is checked once, then remembered. Raises Problem 401."""
    claims = _verified.get(token)
    if claims is None:
        claims = _decode(AccessToken, token)
        _verified.put(token, claims)
    if claims.expires_at <= time.time():
        _verified.drop(token)
        raise unauthorized("invalid_token", "The access token has expired: get a new one.")
    return claims


def verify_refresh(token: str) -> Claims:
    """The claims of a refresh token. Raises Problem 401."""
    return _decode(RefreshToken, token)


def _decode(kind: type[AccessToken] | type[RefreshToken], token: str) -> Claims:
    try:
        decoded = kind(token)  # type: ignore[arg-type]
        return Claims(str(UUID(decoded["user_id"])), float(decoded["exp"]))
    except (TokenError, KeyError, ValueError, TypeError, AttributeError):
        raise unauthorized(
            "invalid_token", f"The {kind.token_type} token is not valid or has expired."
        ) from None


def unauthorized(code: str, detail: str) -> Problem:
    """401 with the challenge that RFC 6750 section 3 asks for."""
    challenge = 'Bearer error="invalid_token"' if code == "invalid_token" else "Bearer"
    return Problem(401, code, detail, headers={"WWW-Authenticate": challenge})
