"""Orders and trades by the minute, for everybody and for each institution.

A minute that is over does not change, so it is counted once and kept in Redis for two hours. Counting reads ranges of
ids, newest minutes first, for `BUDGET` seconds at most: what is not reached stays unknown until the next look. Without
Redis each look counts again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import redis
from django.db import connection

from exchange.base import ids
from exchange.base.admin.keyset import TooSlow, bounded
from exchange.base.redis import client

MINUTES = 30
FINAL_AFTER = timedelta(seconds=15)  # an id may be that much older than the commit of its row
KEEP_SECONDS = 7200
AT_ONCE = 5  # minutes counted by one query
BUDGET = 1.5  # seconds

_MINUTE = timedelta(minutes=1)

_ORDERS = """
    SELECT span.at, u.institution_id::text, count(*)
      FROM unnest(%s::timestamptz[], %s::uuid[], %s::uuid[]) AS span (at, low, high)
      JOIN read_order o ON o.id >= span.low AND o.id < span.high
      JOIN members_user u ON u.id = o.user_id
     GROUP BY 1, 2"""
_TRADES = """
    SELECT span.at, t.instrument_id, b.institution_id::text, s.institution_id::text, count(*),
           sum(t.price * t.quantity), sum(t.buyer_fee), sum(t.seller_fee)
      FROM unnest(%s::timestamptz[], %s::uuid[], %s::uuid[]) AS span (at, low, high)
      JOIN read_trade t ON t.id >= span.low AND t.id < span.high
      JOIN members_user b ON b.id = t.buyer_id
      JOIN members_user s ON s.id = t.seller_id
     GROUP BY 1, 2, 3, 4"""


class Traded(msgspec.Struct, frozen=True):
    """Trades of one minute and market between users of two institutions; `notional` and `seller_fee` in the quote
    asset, `buyer_fee` in the base asset."""

    instrument: int
    buyer: str
    seller: str
    count: int
    notional: Decimal
    buyer_fee: Decimal
    seller_fee: Decimal

    def concerns(self, institution: str) -> bool:
        return not institution or institution in (self.buyer, self.seller)


class Minute(msgspec.Struct):
    """`orders` by institution; users of none are under an empty name."""

    at: datetime
    orders: dict[str, int] = {}
    trades: list[Traded] = []

    def orders_of(self, institution: str) -> int:
        return self.orders.get(institution, 0) if institution else sum(self.orders.values())

    def trades_of(self, institution: str) -> list[Traded]:
        return [each for each in self.trades if each.concerns(institution)]


_encode = msgspec.json.Encoder(decimal_format="string").encode
_decode = msgspec.json.Decoder(Minute).decode


def minutes(now: datetime | None = None) -> list[tuple[datetime, Minute | None]]:
    """The last `MINUTES`, oldest first, the running one included; None for one that there was no time to count."""
    now = now or datetime.now(UTC)
    last = now.replace(second=0, microsecond=0)
    wanted = [last - _MINUTE * back for back in range(MINUTES)]
    found = _kept(wanted)
    missing = [at for at in wanted if at not in found]
    started = time.monotonic()
    for begin in range(0, len(missing), AT_ONCE):
        left = BUDGET - (time.monotonic() - started)
        piece = missing[begin : begin + AT_ONCE]
        try:
            counted = bounded(lambda piece=piece: _counted(piece), max(0.05, left)) if left > 0 else []  # type: ignore[misc]
        except TooSlow:
            break
        found |= {minute.at: minute for minute in counted}
        _keep(minute for minute in counted if minute.at + _MINUTE + FINAL_AFTER < now)
    return [(at, found.get(at)) for at in reversed(wanted)]


def _counted(wanted: list[datetime]) -> list[Minute]:
    spans = (
        wanted,
        [str(ids.floor(at)) for at in wanted],
        [str(ids.floor(at + _MINUTE)) for at in wanted],
    )
    found = {at: Minute(at) for at in wanted}
    with connection.cursor() as cursor:
        cursor.execute(_ORDERS, spans)
        for at, institution, count in cursor.fetchall():
            found[at].orders[institution or ""] = count
        cursor.execute(_TRADES, spans)
        for at, instrument, buyer, seller, *figures in cursor.fetchall():
            found[at].trades.append(Traded(instrument, buyer or "", seller or "", *figures))
    return list(found.values())


def _key(at: datetime) -> str:
    return f"activity:{at:%Y%m%d%H%M}"


def _kept(wanted: list[datetime]) -> dict[datetime, Minute]:
    try:
        values = client().mget([_key(at) for at in wanted])
    except redis.RedisError:
        return {}
    return {at: _decode(value) for at, value in zip(wanted, values, strict=True) if value is not None}


def _keep(counted: Iterable[Minute]) -> None:
    try:
        pipe = client().pipeline(transaction=False)
        for minute in counted:
            pipe.set(_key(minute.at), _encode(minute), ex=KEEP_SECONDS)
        pipe.execute()
    except redis.RedisError:
        return  # then they are counted again
