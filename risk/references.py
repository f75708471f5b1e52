"""The reference price of a market, as the process `prices` tells it; kept for a moment."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import msgspec
import psycopg
import redis

from exchange.redis import Circuit, client

KEEP_SECONDS = 0.5

_STORED = """
    SELECT p.price FROM marketdata_price p JOIN trading_instrument i ON i.id = p.instrument_id
     WHERE i.symbol = %s AND NOT p.stale"""

_known: dict[str, tuple[float, Decimal | None]] = {}
_circuit = Circuit()


def price(connection: psycopg.Connection[Any], symbol: str) -> Decimal | None:
    """None while nobody vouches for one. May raise psycopg.Error."""
    known = _known.get(symbol)
    if known is not None and time.monotonic() - known[0] < KEEP_SECONDS:
        return known[1]
    found = _told(symbol) if not _circuit.away() else None
    if found is None:
        row = connection.execute(_STORED, (symbol,)).fetchone()
        found = row[0] if row else None
    _known[symbol] = (time.monotonic(), found)
    return found


def _told(symbol: str) -> Decimal | None:
    try:
        text: Any = client().get(f"price:{symbol}")
        _circuit.works()
    except redis.RedisError as error:
        _circuit.failed(error)
        return None
    told = msgspec.json.decode(text) if text else None
    return Decimal(told["price"]) if told and not told["stale"] else None


def forget() -> None:
    _known.clear()
