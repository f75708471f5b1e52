"""Reads about members."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from exchange.env import env
from exchange.members.models import User


class Standing(NamedTuple):
    """What decides what a user may do at this moment."""

    institution_id: str | None
    role: str
    order_rate: int


def standing(user_id: str) -> Standing | None:
    """The user's standing; None if there is no such user (a UUID's text) or they may not sign in."""
    row = (
        User.objects.filter(id=user_id, is_active=True)
        .values_list("institution_id", "role", "order_rate", "institution__order_rate")
        .first()
    )
    if row is None:
        return None
    institution_id, role, own_rate, institution_rate = row
    rate = own_rate if own_rate is not None else institution_rate
    return Standing(_text(institution_id), role, env.exchange_order_rate if rate is None else rate)


def active_user(user_id: str) -> User | None:
    return User.objects.filter(id=user_id, is_active=True).first()


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
