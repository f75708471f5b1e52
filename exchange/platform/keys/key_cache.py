"""API keys as requests need them: read once a second, in microseconds in between.

Why it is so: docs/decisions/013-api-keys.md.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from exchange.base.bounded_cache import Recent
from exchange.platform.keys.addresses import Network, allows, networks
from exchange.platform.keys.models import ApiKey, KeyKind
from exchange.platform.keys.signatures import Check, ed25519_check, hmac_check
from exchange.platform.members.authentication import KEEP_SECONDS, Member
from exchange.platform.members.scopes import permitted

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class CachedKey:
    """A key as it was read."""

    def __init__(self, key: ApiKey, read_at: float) -> None:
        self.id = str(key.pk)
        self.user_id = str(key.user_id)
        self.revoked = key.revoked_at is not None
        self.check: Check = (
            hmac_check(key.secret) if key.kind == KeyKind.HMAC_SHA256 else ed25519_check(key.public_key)
        )
        self.read_at = read_at
        self._permissions = permitted(key.scopes)
        self._networks: Sequence[Network] = networks(key.addresses)
        self._expires_at = key.expires_at.timestamp() if key.expires_at else float("inf")
        self._allowed: dict[str, bool] = {}
        self._member: tuple[Member, Member] | None = None

    def expired(self, now: float) -> bool:
        """`now` is in seconds since the epoch."""
        return now >= self._expires_at

    @property
    def expires_at(self) -> float:
        return self._expires_at

    def allows(self, address: str) -> bool:
        if not self._networks:
            return True
        allowed = self._allowed.get(address)
        if allowed is None:
            if len(self._allowed) >= 1000:
                self._allowed.clear()
            allowed = self._allowed[address] = allows(self._networks, address)
        return allowed

    def member(self, user: Member) -> Member:
        """The key's user with no more than the key's permissions."""
        if self._member is None or self._member[0] is not user:
            limited = Member(
                user.user_id,
                user.institution_id,
                user.role,
                user.permissions & self._permissions,
                user.order_rate,
                self.id,
            )
            self._member = (user, limited)
        return self._member[1]


_known: Recent[str, CachedKey] = Recent(10_000)


def find(key_id: str) -> CachedKey | None:
    """The key as it was within the last second; None if there is none. Raises database errors."""
    known = _known.get(key_id)
    now = time.monotonic()
    if known is not None:
        if now - known.read_at < KEEP_SECONDS:
            return known
        known.read_at = now  # while this thread reads, the others go on with what is known
    elif not _ID.fullmatch(key_id):
        return None
    try:
        key = ApiKey.objects.filter(pk=key_id).first()
    except BaseException:
        _known.drop(key_id)
        raise
    if key is None:
        _known.drop(key_id)
        return None
    found = CachedKey(key, now)
    _known.put(key_id, found)
    return found


def clear_cache(key_id: str | None = None) -> None:
    """Read this key, or all of them, again at their next use."""
    if key_id is None:
        _known.clear()
    else:
        _known.drop(key_id)
