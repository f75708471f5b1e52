"""The order book for readers: from the matcher's snapshot in Redis or, without it, added up from the open
orders.

A snapshot is at most a second old while its matcher runs. What is answered is kept as ready bytes for a
moment, so a thousand readers a second cost ten looks at Redis. Trading is read by plain SQL from its read views,
because market data does not import it.
"""

from __future__ import annotations

import time
from typing import Annotated, Any, NamedTuple

import msgspec
import redis
from django.db import connection
from msgspec import Meta

from exchange.base import redis_keys
from exchange.base.bounded_cache import Recent
from exchange.base.redis import Circuit, client
from exchange.base.times import now_text
from matching.snapshot import DEPTH

KEEP_SECONDS = 0.1
KEEP_FROM_DATABASE_SECONDS = 1.0

_INSTRUMENT = """
    SELECT id, scale(trim_scale(tick_size)), scale(trim_scale(lot_size))
      FROM read_instrument WHERE symbol = %s"""
_LEVELS = """
    SELECT round(price, %s)::text, round(sum(displayed_quantity), %s)::text FROM read_book_level
     WHERE instrument_id = %s AND side = %s
     GROUP BY price ORDER BY price {order} LIMIT {depth}"""
_BIDS = _LEVELS.format(order="DESC", depth=DEPTH)
_ASKS = _LEVELS.format(order="ASC", depth=DEPTH)


Level = Annotated[list[str], Meta(min_length=2, max_length=2, examples=[["50000.00", "0.50000"]])]


class BookView(msgspec.Struct):
    """Levels are [price, quantity], best first. `sequence` ascends with every command its matcher applied;
    null when the book was added up from the orders themselves.
    """

    symbol: str
    sequence: int | None
    timestamp: str
    bids: list[Level]
    asks: list[Level]


class _Kept(NamedTuple):
    body: bytes | None  # None: there is no such symbol
    until: float


_decode = msgspec.json.Decoder(BookView).decode
_encode = msgspec.json.Encoder().encode
_kept: Recent[tuple[str, int], _Kept] = Recent(256)
_circuit = Circuit()


def book(symbol: str, limit: int = DEPTH) -> bytes | None:
    """The JSON of a `BookView` with at most `limit` levels a side; None if there is no such symbol."""
    key, now = (symbol, limit), time.monotonic()
    kept = _kept.get(key)
    if kept is not None:
        if now < kept.until:
            return kept.body
        _kept.put(
            key, kept._replace(until=now + 1.0)
        )  # while this thread reads, the others go on with what is known
    try:
        body, keep = _read(symbol, limit)
    except BaseException:
        _kept.drop(key)
        raise
    _kept.put(key, _Kept(body, now + keep))
    return body


def _read(symbol: str, limit: int) -> tuple[bytes | None, float]:
    """The answer, and for how many seconds it may be kept."""
    body, keep = _snapshot(symbol), KEEP_SECONDS
    if body is None:
        body, keep = _from_orders(symbol), KEEP_FROM_DATABASE_SECONDS
    if body is not None and limit < DEPTH:
        view = _decode(body)
        view.bids, view.asks = view.bids[:limit], view.asks[:limit]
        body = _encode(view)
    return body, keep


def _snapshot(symbol: str) -> bytes | None:
    if _circuit.away():
        return None
    try:
        found: Any = client().get(redis_keys.book(symbol))
    except redis.RedisError as error:
        _circuit.failed(error)
        return None
    _circuit.works()
    return found


def _from_orders(symbol: str) -> bytes | None:
    with connection.cursor() as cursor:
        cursor.execute(_INSTRUMENT, [symbol])
        row = cursor.fetchone()
        if row is None:
            return None
        instrument, *places = row
        cursor.execute(_BIDS, [*places, instrument, "BUY"])
        bids = cursor.fetchall()
        cursor.execute(_ASKS, [*places, instrument, "SELL"])
        asks = cursor.fetchall()
    timestamp = now_text()
    return _encode(BookView(symbol, None, timestamp, bids, asks))
