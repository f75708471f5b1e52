"""What a user has open and has traded today, counted in Redis, loaded from PostgreSQL.

    risk:{user}:{day}   open, open:{instrument}          orders
                        buying:{instrument}              lots of open buy orders
                        traded:{instrument}, currency:{code}
                                                         notional traded on that day (UTC), in hundredths

A key is made when the gate first needs it and goes after a minute, so whatever was missed is made good by
then. Intake counts an order up before it commits and down if it does not; the matcher tells what became of it
after each settlement. Nobody makes a key by counting: who is not limited has none, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
import redis
from redis.client import Pipeline

from exchange import ids
from exchange.database import array

KEEP_SECONDS = 60
HUNDREDTHS = 100

# KEYS[1]; ARGV: instrument, lots, currency. Counts one order more; nothing if there is no such key.
_COUNT = """
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
return {redis.call('HINCRBY', KEYS[1], 'open:' .. ARGV[1], 1), redis.call('HINCRBY', KEYS[1], 'open', 1),
        redis.call('HINCRBY', KEYS[1], 'buying:' .. ARGV[1], ARGV[2]),
        tonumber(redis.call('HGET', KEYS[1], 'traded:' .. ARGV[1]) or 0),
        tonumber(redis.call('HGET', KEYS[1], 'currency:' .. ARGV[3]) or 0)}
"""

# KEYS: one a change; ARGV, five a change: instrument, currency, orders, lots, notional.
_CHANGE = """
for i, key in ipairs(KEYS) do
    if redis.call('EXISTS', key) == 1 then
        local at = 5 * (i - 1)
        local instrument = ARGV[at + 1]
        redis.call('HINCRBY', key, 'open', ARGV[at + 3])
        redis.call('HINCRBY', key, 'open:' .. instrument, ARGV[at + 3])
        redis.call('HINCRBY', key, 'buying:' .. instrument, ARGV[at + 4])
        redis.call('HINCRBY', key, 'traded:' .. instrument, ARGV[at + 5])
        redis.call('HINCRBY', key, 'currency:' .. ARGV[at + 2], ARGV[at + 5])
    end
end
"""

# KEYS[1]; ARGV: seconds, then fields and values. What is there already was loaded by another process.
_LOAD = """
if redis.call('EXISTS', KEYS[1]) == 1 then return end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""

_OPEN = """
    SELECT o.user_id::text, o.instrument_id, count(*),
           coalesce(sum(o.remaining_quantity / i.lot_size) FILTER (WHERE o.side = 'BUY'), 0)::bigint
      FROM trading_order o JOIN trading_instrument i ON i.id = o.instrument_id
     WHERE o.user_id = ANY (%s::uuid[]) AND o.closed_at IS NULL GROUP BY 1, 2"""
_TRADED = """
    SELECT t.user_id::text, t.instrument_id, q.code, trunc(sum(t.notional) * 100)::bigint
      FROM (SELECT buyer_id AS user_id, instrument_id, price * quantity AS notional FROM trading_trade
             WHERE buyer_id = ANY (%(users)s::uuid[]) AND id >= %(since)s
            UNION ALL SELECT seller_id, instrument_id, price * quantity FROM trading_trade
             WHERE seller_id = ANY (%(users)s::uuid[]) AND id >= %(since)s) AS t
      JOIN trading_instrument i ON i.id = t.instrument_id JOIN trading_asset q ON q.id = i.quote_id
     GROUP BY 1, 2, 3"""


class Change(NamedTuple):
    """Of one user in one market: open orders, lots of open buy orders, notional traded (hundredths)."""

    user_id: str
    instrument: int
    currency: str
    orders: int
    lots: int
    notional: int


class Count(NamedTuple):
    """With the new order; traded notional in hundredths."""

    open_here: int
    open_everywhere: int
    buying: int
    traded_here: int
    traded_in_currency: int


class Tally:
    """A user's counts as PostgreSQL has them."""

    def __init__(self) -> None:
        self.fields: dict[str, int] = {"open": 0}

    def add(self, field: str, number: int) -> int:
        self.fields[field] = self.fields.get(field, 0) + number
        return self.fields[field]

    def count(self, change: Change) -> Count:
        """One order more, as `_COUNT` does."""
        return Count(
            self.add(f"open:{change.instrument}", 1),
            self.add("open", 1),
            self.add(f"buying:{change.instrument}", change.lots),
            self.add(f"traded:{change.instrument}", 0),
            self.add(f"currency:{change.currency}", 0),
        )


def load(connection: psycopg.Connection[Any], users: Iterable[str]) -> dict[str, Tally]:
    """Each user's tally of now. May raise psycopg.Error."""
    wanted = array(users)
    tallies = {user: Tally() for user in wanted[1:-1].split(",")}
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for user, instrument, orders, lots in connection.execute(_OPEN, (wanted,)).fetchall():
        tally = tallies[user]
        tally.add("open", orders)
        tally.add(f"open:{instrument}", orders)
        tally.add(f"buying:{instrument}", lots)
    traded = connection.execute(_TRADED, {"users": wanted, "since": ids.floor(midnight)}).fetchall()
    for user, instrument, currency, notional in traded:
        tallies[user].add(f"traded:{instrument}", notional)
        tallies[user].add(f"currency:{currency}", notional)
    return tallies


def keep(client: redis.Redis, tallies: Mapping[str, Tally]) -> None:
    """For a minute. Raises redis.RedisError."""
    pipe = client.pipeline(transaction=False)
    for user, tally in tallies.items():
        values = [part for item in tally.fields.items() for part in item]
        pipe.eval(_LOAD, 1, _key(user), KEEP_SECONDS, *values)
    pipe.execute()


def count(client: redis.Redis, changes: Sequence[Change]) -> list[Count | None]:
    """Count each order up; None where the user's key is not there. Raises redis.RedisError."""
    pipe = client.pipeline(transaction=False)
    for change in changes:
        pipe.eval(_COUNT, 1, _key(change.user_id), change.instrument, change.lots, change.currency)
    return [None if found is None else Count(*found) for found in pipe.execute()]


def tell(pipe: Pipeline, changes: Sequence[Change]) -> None:
    """Queue what became of orders, for those users who are counted."""
    if changes:
        keys = [_key(change.user_id) for change in changes]
        pipe.eval(_CHANGE, len(keys), *keys, *[part for change in changes for part in _parts(change)])


def _parts(change: Change) -> tuple[Any, ...]:
    return change.instrument, change.currency, change.orders, change.lots, change.notional


def _key(user_id: str) -> str:
    return f"risk:{user_id}:{datetime.now(UTC):%Y%m%d}"
