"""Create, change and revoke keys: each writes its audit record in the caller's transaction."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import transaction

from exchange.platform.audit import log as audit
from exchange.platform.keys import key_cache
from exchange.platform.keys.models import ApiKey, KeyKind
from exchange.platform.members.models import User
from exchange.platform.members.scopes import complete

MOST_KEYS = 30  # of a user, neither revoked nor expired
SECRET_BYTES = 32


class TooMany(Exception):
    """The user has `MOST_KEYS` already."""


class Revoked(Exception):
    """The key was revoked, which is for good."""


class CreatedKey(NamedTuple):
    """`secret` is shown to the user now and never again; empty for Ed25519."""

    key: ApiKey
    secret: str


def create(
    user: User,
    *,
    name: str,
    kind: str,
    scopes: list[str],
    public_key: str = "",
    addresses: list[str],
    expires_at: datetime | None,
) -> CreatedKey:
    """Raises TooMany."""
    User.objects.select_for_update(no_key=True).get(pk=user.pk)  # two at once are counted one after the other
    now = datetime.now(UTC)
    current = ApiKey.objects.filter(user=user, revoked_at=None)
    if current.exclude(expires_at__lte=now).count() >= MOST_KEYS:
        raise TooMany
    secret = secrets.token_urlsafe(SECRET_BYTES) if kind == KeyKind.HMAC_SHA256 else ""
    key = ApiKey.objects.create(
        user=user,
        name=name,
        kind=kind,
        secret=secret,
        public_key=public_key,
        scopes=complete(scopes),
        addresses=addresses,
        expires_at=expires_at,
    )
    _record("CREATE_API_KEY", key, {}, key.facts())
    return CreatedKey(key, secret)


def change(key: ApiKey, changes: dict[str, Any]) -> ApiKey:
    """Name, addresses or end of a key that the caller has locked. Raises Revoked."""
    if key.revoked_at is not None:
        raise Revoked
    old = key.facts()
    for field, value in changes.items():
        setattr(key, field, value)
    new = key.facts()
    if old != new:
        key.save(update_fields=list(changes))
        differ = [field for field in new if old[field] != new[field]]
        was, now = ({field: facts[field] for field in differ} for facts in (old, new))
        _record("CHANGE_API_KEY", key, was, now)
        _soon(key)
    return key


def revoke(key: ApiKey) -> ApiKey:
    """For good; a key that the caller has locked. Again: nothing happens."""
    if key.revoked_at is None:
        key.revoked_at = datetime.now(UTC)
        key.save(update_fields=["revoked_at"])
        _record("REVOKE_API_KEY", key, {}, {"revoked_at": key.revoked_at.isoformat()})
        _soon(key)
    return key


def _record(action: str, key: ApiKey, old: dict[str, Any], new: dict[str, Any]) -> None:
    audit.record(
        action=action,
        resource=f"api-key/{key.pk}",
        institution=str(key.user.institution_id or ""),
        old=old,
        new={"user": str(key.user_id), **new},
    )


def _soon(key: ApiKey) -> None:
    """In this process at once; in the others within a second."""
    key_id = str(key.pk)
    transaction.on_commit(lambda: key_cache.clear_cache(key_id))
