"""The watch list read from PostgreSQL: where Redis lost it, never had it, or it was invalidated.

Adds what is missing and takes out what waits no more, in chunks, and never empties a set: stops that are
there go on being checked. One process does it at a time, for the cost; two would do no harm.

Whether a symbol's sets are complete is said last, and not at all if they were invalidated or Redis was
emptied meanwhile: then it is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import psycopg
import redis
import structlog

from exchange.base import ids, metrics, redis_keys
from exchange.base.database import array
from matching.core.types import Side
from trading.reference.catalog import Market
from trading.stops import watchlist

CHUNK = 2000  # stops between two looks at what moved
HELD_MS = 10_000  # by then the process that builds has said that it goes on, or is gone

log = structlog.get_logger(__name__)

# A trigger that is on its way is not waited for any more.
_ARMED = """
      FROM trading_order o
     WHERE o.stop_price IS NOT NULL AND o.closed_at IS NULL AND o.status = 'PENDING_TRIGGER'
       AND NOT EXISTS (SELECT FROM trading_pendingcommand c WHERE c.order_id = o.id AND c.kind = 'Trigger')"""
_STOPS = f"""SELECT o.id::text, o.side, (o.stop_price / %s)::bigint {_ARMED} AND o.instrument_id = %s"""
_COUNTS = f"SELECT o.instrument_id, o.side, count(*) {_ARMED} GROUP BY 1, 2"
_STILL_ARMED = "SELECT id::text FROM trading_order WHERE id = ANY (%s::uuid[]) AND status = 'PENDING_TRIGGER'"

Connect = Callable[[str], psycopg.Connection[Any]]
Parts = Generator[None, None, None]


def rebuild(client: redis.Redis, connect: Connect, markets: Sequence[Market]) -> Parts:
    """Complete the sets of `markets`, one after the other; each is to be looked at when it is complete.

    Yields after every chunk, for the caller to check what moved. Does nothing if another process is at it.
    """
    token = ids.uuid7().encode()
    if not client.set(redis_keys.STOPS_BUILDING, token, nx=True, px=HELD_MS):
        return
    try:
        with connect("exchange stops rebuild") as connection:
            for market in markets:
                total = 0
                for added in _fill(client, connection, market):
                    total += added
                    client.pexpire(redis_keys.STOPS_BUILDING, HELD_MS)
                    yield
                for _ in _prune(client, connection, market, total):
                    client.pexpire(redis_keys.STOPS_BUILDING, HELD_MS)
                    yield
                if not _finish(client, token, market.symbol):
                    log.info("stops doubted while they were read", symbol=market.symbol)
                    return
                metrics.stops_rebuilt.inc(total)
                log.info("stops read", symbol=market.symbol, stops=total)
                yield
    finally:
        if client.get(redis_keys.STOPS_BUILDING) == token:
            client.delete(redis_keys.STOPS_BUILDING)


def mismatched(
    client: redis.Redis, connection: psycopg.Connection[Any], markets: Sequence[Market]
) -> set[str]:
    """The symbols of which Redis knows another number of stops than PostgreSQL.

    One that is on its way from one to the other makes a difference too: then a symbol is read once more than
    needed.
    """
    symbols = {market.id: market.symbol for market in markets}
    listed = watchlist.counts(client, symbols.values())
    stored = {
        (symbols[instrument], Side[side]): count
        for instrument, side, count in connection.execute(_COUNTS).fetchall()
        if instrument in symbols
    }
    return {pair[0] for pair, count in listed.items() if stored.get(pair, 0) != count}


def _fill(client: redis.Redis, connection: psycopg.Connection[Any], market: Market) -> Iterator[int]:
    with connection.transaction(), connection.cursor("stops") as cursor:
        cursor.execute(_STOPS, (market.tick_size, market.id))
        while rows := cursor.fetchmany(CHUNK):
            pipe = client.pipeline(transaction=False)
            for side in Side:
                stops = {order_id: ticks for order_id, name, ticks in rows if name == side.name}
                watchlist.add(pipe, market.symbol, side, stops)
            pipe.execute()
            yield len(rows)


def _prune(
    client: redis.Redis, connection: psycopg.Connection[Any], market: Market, total: int
) -> Iterator[None]:
    """If there are more members than stops, take those out that wait no more. None ever waits again."""
    if sum(watchlist.counts(client, [market.symbol]).values()) <= total:
        return
    for side in Side:
        for members in watchlist.members(client, market.symbol, side, CHUNK):
            armed = {row[0] for row in connection.execute(_STILL_ARMED, (array(members),))}
            watchlist.disarm(client, market.symbol, side, members - armed)
            yield


def _finish(client: redis.Redis, token: bytes, symbol: str) -> bool:
    """Say that the symbol's sets are complete, if they were not invalidated since `token` was set."""
    with client.pipeline() as pipe:
        pipe.watch(redis_keys.STOPS_BUILDING)
        if pipe.get(redis_keys.STOPS_BUILDING) != token:
            return False
        pipe.multi()
        pipe.sadd(redis_keys.STOPS_BUILT, symbol)
        pipe.sadd(redis_keys.STOPS_MOVED, symbol)
        try:
            pipe.execute()
        except redis.WatchError:
            return False
    return True
