"""Reads about API keys."""

from __future__ import annotations

from uuid import UUID

from exchange.platform.keys.models import ApiKey


def of_user(user_id: str, limit: int, before: UUID | None) -> list[ApiKey]:
    """The user's keys, newest first, revoked ones too; those made before `before`, if there is one."""
    keys = ApiKey.objects.filter(user_id=user_id).defer("secret").order_by("-id")
    if before is not None:
        keys = keys.filter(pk__lt=before)
    return list(keys[:limit])


def own(user_id: str, key_id: UUID, *, lock: bool = False) -> ApiKey | None:
    """A key of the user's; with `lock` no other transaction changes it until this one ends."""
    keys = ApiKey.objects.filter(user_id=user_id, pk=key_id).defer("secret").select_related("user")
    return (keys.select_for_update(of=("self",)) if lock else keys).first()
