"""What a user has open, owns and has traded today, counted in Redis, loaded from PostgreSQL.

    risk:{user}:{day}   open, open:{instrument}          orders
                        buying:{instrument}              lots of open buy orders
                        owned:{asset}                    available and held, in units (`unit_places`)
                        traded:{instrument}, currency:{code}
                                                         notional traded on that day (UTC), in hundredths
                        loaded                           when, in seconds since the epoch

A key is made when the gate first needs it and reloaded after a minute (`risk.pretrade.refresher`), so what was missed
is made good by then: deposits, withdrawals and fees are. Intake counts an order up before it commits and down if it
does not; the matcher records what became of it after each settlement. Counting never makes a key: a user without
limits has none, and costs nothing. What was loaded before limits changed is of no use, as orders under no limit were
not counted up. Why in Redis: docs/decisions/006.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
import redis
from redis.client import Pipeline

from exchange.base import ids
from exchange.base.database import array

FRESH_SECONDS = 60  # then it is to be reloaded
KEEP_SECONDS = 150  # what is older decides nothing
HUNDREDTHS = 100
MOST = 4 * 10**18  # Redis counts in 64 bits
FINEST = 8  # decimal places of a unit, at most

# KEYS[1]; ARGV: since when limits are as they are, then four an order: instrument, lots, currency, base asset. Counts
# each order up, or nothing if there is no key that was loaded since. Answers when it was, then six numbers an order.
_COUNT = """
local key = KEYS[1]
local loaded = tonumber(redis.call('HGET', key, 'loaded') or 0)
if loaded < tonumber(ARGV[1]) then
    redis.call('DEL', key)
    return false
end
local found = {loaded}
for at = 2, #ARGV, 4 do
    found[#found + 1] = redis.call('HINCRBY', key, 'open:' .. ARGV[at], 1)
    found[#found + 1] = redis.call('HINCRBY', key, 'open', 1)
    found[#found + 1] = redis.call('HINCRBY', key, 'buying:' .. ARGV[at], ARGV[at + 1])
    local rest = redis.call('HMGET', key, 'owned:' .. ARGV[at + 3], 'traded:' .. ARGV[at], 'currency:' .. ARGV[at + 2])
    for i = 1, 3 do found[#found + 1] = rest[i] or '0' end
end
return found
"""

# KEYS: one a change; ARGV, seven a change: instrument, currency, base asset, orders, lots, units, notional.
_CHANGE = """
for i, key in ipairs(KEYS) do
    if redis.call('EXISTS', key) == 1 then
        local at = 7 * (i - 1)
        local instrument = ARGV[at + 1]
        redis.call('HINCRBY', key, 'open', ARGV[at + 4])
        redis.call('HINCRBY', key, 'open:' .. instrument, ARGV[at + 4])
        redis.call('HINCRBY', key, 'buying:' .. instrument, ARGV[at + 5])
        redis.call('HINCRBY', key, 'owned:' .. ARGV[at + 3], ARGV[at + 6])
        redis.call('HINCRBY', key, 'traded:' .. instrument, ARGV[at + 7])
        redis.call('HINCRBY', key, 'currency:' .. ARGV[at + 2], ARGV[at + 7])
    end
end
"""

# KEYS[1]; ARGV: when it may have been loaded at the latest to be replaced, seconds to keep it, then fields and values.
_LOAD = """
local loaded = redis.call('HGET', KEYS[1], 'loaded')
if loaded and tonumber(loaded) > tonumber(ARGV[1]) then return end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""

_OPEN = """
    SELECT o.user_id::text, o.instrument_id, count(*),
           coalesce(sum(o.remaining_quantity / i.lot_size) FILTER (WHERE o.side = 'BUY'), 0)::bigint
      FROM read_open_order o JOIN read_instrument i ON i.id = o.instrument_id
     WHERE o.user_id = ANY (%s::uuid[]) GROUP BY 1, 2"""
_TRADED = """
    SELECT t.user_id::text, t.instrument_id, q.code, trunc(sum(t.notional) * 100)::bigint
      FROM (SELECT buyer_id AS user_id, instrument_id, price * quantity AS notional FROM read_trade
             WHERE buyer_id = ANY (%(users)s::uuid[]) AND id >= %(since)s
            UNION ALL SELECT seller_id, instrument_id, price * quantity FROM read_trade
             WHERE seller_id = ANY (%(users)s::uuid[]) AND id >= %(since)s) AS t
      JOIN read_instrument i ON i.id = t.instrument_id JOIN read_asset q ON q.id = i.quote_id
     GROUP BY 1, 2, 3"""


_OWNED = """
    SELECT a.user_id::text, a.asset_id,
           least(trunc((a.available + a.held) * 10 ^ least(s.scale, %(finest)s)), %(most)s)::bigint
      FROM read_balance a JOIN read_asset s ON s.id = a.asset_id
     WHERE a.user_id = ANY (%(users)s::uuid[])"""


class ExposureChange(NamedTuple):
    """Of one user in one market: open orders, lots of open buy orders, units of the base asset that came or went,
    notional traded (hundredths)."""

    user_id: str
    instrument: int
    currency: str
    base: int
    orders: int
    lots: int
    units: int
    notional: int


class Count(NamedTuple):
    """With the new order; `owned` in units, traded notional in hundredths."""

    open_here: int
    open_everywhere: int
    buying: int
    owned: int
    traded_here: int
    traded_in_currency: int


class Counted(NamedTuple):
    """One user's orders, counted; `stale` when the counts are to be reloaded."""

    counts: list[Count]
    stale: bool


def unit_places(scale: int) -> int:
    """Decimal places of the unit in which what is owned of an asset with that scale is counted."""
    return min(scale, FINEST)


class Tally:
    """A user's counts as PostgreSQL has them."""

    def __init__(self) -> None:
        self.begun = time.time()
        self.fields: dict[str, int] = {"open": 0}

    def add(self, field: str, number: int) -> int:
        self.fields[field] = self.fields.get(field, 0) + number
        return self.fields[field]

    def count(self, change: ExposureChange) -> Count:
        """With this order too, as `_COUNT` does."""
        return Count(
            self.add(f"open:{change.instrument}", change.orders),
            self.add("open", change.orders),
            self.add(f"buying:{change.instrument}", change.lots),
            self.add(f"owned:{change.base}", 0),
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
    owned = connection.execute(_OWNED, {"users": wanted, "finest": FINEST, "most": MOST}).fetchall()
    for user, asset, units in owned:
        tallies[user].add(f"owned:{asset}", units)
    traded = connection.execute(_TRADED, {"users": wanted, "since": ids.floor(midnight)}).fetchall()
    for user, instrument, currency, notional in traded:
        tallies[user].add(f"traded:{instrument}", notional)
        tallies[user].add(f"currency:{currency}", notional)
    return tallies


def store(client: redis.Redis, tallies: Mapping[str, Tally]) -> None:
    """In place of what is stale or not there. Raises redis.RedisError."""
    old = time.time() - FRESH_SECONDS
    pipe = client.pipeline(transaction=False)
    for user, tally in tallies.items():
        values = [part for item in (("loaded", tally.begun), *tally.fields.items()) for part in item]
        pipe.eval(_LOAD, 1, _key(user), old, KEEP_SECONDS, *values)
    pipe.execute()


def queue(pipe: Pipeline, changes: Mapping[str, Sequence[ExposureChange]], since: float) -> None:
    """Queue to count each user's orders up, by what was loaded `since`; `parse` reads the answers."""
    for user, orders in changes.items():
        arguments = [part for c in orders for part in (c.instrument, c.lots, c.currency, c.base)]
        pipe.eval(_COUNT, 1, _key(user), since, *arguments)


def parse(users: Iterable[str], answers: Sequence[Any]) -> dict[str, Counted | None]:
    """By user; None where there is no key: nothing was counted."""
    fresh = time.time() - FRESH_SECONDS
    return {user: _counted(found, fresh) for user, found in zip(users, answers, strict=True)}


def _counted(found: list[int | bytes] | None, fresh: float) -> Counted | None:
    if found is None:
        return None
    numbers = [int(number) for number in found]
    width = len(Count._fields)
    counts = [Count(*numbers[at : at + width]) for at in range(1, len(numbers), width)]
    return Counted(counts, stale=numbers[0] <= fresh)


def record(pipe: Pipeline, changes: Sequence[ExposureChange]) -> None:
    """Queue what became of orders, for those users who are counted."""
    if changes:
        keys = [_key(change.user_id) for change in changes]
        pipe.eval(_CHANGE, len(keys), *keys, *[part for change in changes for part in _parts(change)])


def _parts(c: ExposureChange) -> tuple[Any, ...]:
    return c.instrument, c.currency, c.base, c.orders, c.lots, c.units, c.notional


def _key(user_id: str) -> str:
    return f"risk:{user_id}:{datetime.now(UTC):%Y%m%d}"
