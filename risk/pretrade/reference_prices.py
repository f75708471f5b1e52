"""The reference price of each market, as the process `prices` publishes it; kept for a moment (docs/decisions/029)."""

from __future__ import annotations

import time
from collections.abc import Collection
from decimal import Decimal
from typing import Any

import msgspec
import psycopg
import redis

from exchange.base import redis_keys
from exchange.base.redis import Circuit, client

KEEP_SECONDS = 1.0

_STORED = """
    SELECT i.symbol, p.price FROM marketdata_price p JOIN read_instrument i ON i.id = p.instrument_id
     WHERE i.symbol = ANY (%s) AND NOT p.stale"""

_known: dict[str, tuple[float, Decimal | None]] = {}
_circuit = Circuit()


def price(connection: psycopg.Connection[Any], symbol: str) -> Decimal | None:
    """None while there is no fresh one. May raise psycopg.Error."""
    known = _known.get(symbol)
    if known is None or time.monotonic() - known[0] > KEEP_SECONDS:
        _read(connection, [symbol])
    return _known[symbol][1]


def refresh(connection: psycopg.Connection[Any]) -> None:
    """Read all again that were ever asked for. May raise psycopg.Error."""
    if _known:
        _read(connection, list(_known))


def _read(connection: psycopg.Connection[Any], symbols: Collection[str]) -> None:
    found = _published(symbols)
    missing = [symbol for symbol in symbols if symbol not in found]
    if missing:
        found |= dict(connection.execute(_STORED, (missing,)).fetchall())
    now = time.monotonic()
    for symbol in symbols:
        _known[symbol] = (now, found.get(symbol))


def _published(symbols: Collection[str]) -> dict[str, Decimal]:
    if _circuit.away():
        return {}
    try:
        texts: Any = client().mget([redis_keys.price(symbol) for symbol in symbols])
        _circuit.works()
    except redis.RedisError as error:
        _circuit.failed(error)
        return {}
    prices = {symbol: msgspec.json.decode(text) for symbol, text in zip(symbols, texts, strict=True) if text}
    return {symbol: Decimal(each["price"]) for symbol, each in prices.items() if not each["stale"]}


def clear_cache() -> None:
    _known.clear()
