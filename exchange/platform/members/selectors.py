"""Reads about members."""

from __future__ import annotations

from typing import NamedTuple

from django.db import connection

from exchange.base.env import env
from exchange.platform.members.models import User

_STANDING = """
    SELECT u.institution_id::text, u.role, coalesce(u.order_rate, i.order_rate)
      FROM members_user u LEFT JOIN members_institution i ON i.id = u.institution_id
     WHERE u.id = %s AND u.is_active"""


class Membership(NamedTuple):
    """What decides what a user may do at this moment."""

    institution_id: str | None
    role: str
    order_rate: int


def active_membership(user_id: str) -> Membership | None:
    """The user's standing; None if there is no such user (a UUID's text) or they may not sign in."""
    with connection.cursor() as cursor:  # by hand: each active user is read each second
        cursor.execute(_STANDING, [user_id])
        row = cursor.fetchone()
    if row is None:
        return None
    institution_id, role, rate = row
    return Membership(institution_id, role, env.exchange_order_rate if rate is None else rate)


def active_user(user_id: str) -> User | None:
    return User.objects.filter(id=user_id, is_active=True).first()
