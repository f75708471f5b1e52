"""Reads of the gate, on the connection of whoever asks."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Any

import psycopg

from exchange.database import array

_OWNED = """
    SELECT user_id::text, asset_id, available + held FROM trading_account
     WHERE kind = 'USER' AND (user_id, asset_id) IN (SELECT * FROM unnest(%s::uuid[], %s::bigint[]))"""


def owned(
    connection: psycopg.Connection[Any], wanted: Collection[tuple[str, int]]
) -> dict[tuple[str, int], Decimal]:
    """Available and held together, by user and asset; nothing for who has no account in it."""
    if not wanted:
        return {}
    users, assets = zip(*wanted, strict=True)
    rows = connection.execute(_OWNED, (array(users), array(assets))).fetchall()
    return {(user, asset): Decimal(amount) for user, asset, amount in rows}
