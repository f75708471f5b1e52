"""Reads: a user's own payments, newest first."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar
from uuid import UUID

from trading.models import Deposit, Withdrawal

Kind = TypeVar("Kind", Deposit, Withdrawal)


def one(kind: type[Kind], user_id: str, payment_id: UUID) -> Kind | None:
    found: Kind | None = (
        kind._default_manager.select_related("asset").filter(pk=payment_id, user_id=user_id).first()
    )
    return found


def page(
    kind: type[Kind],
    user_id: str,
    *,
    asset: int | None = None,
    states: Collection[str] = (),
    before: UUID | None = None,
    limit: int,
) -> list[Kind]:
    """One more than `limit`, if there are."""
    rows = kind._default_manager.select_related("asset").filter(user_id=user_id).order_by("-id")
    if asset is not None:
        rows = rows.filter(asset_id=asset)
    if states:
        rows = rows.filter(state__in=states)
    if before is not None:
        rows = rows.filter(id__lt=before)
    return list(rows[: limit + 1])
