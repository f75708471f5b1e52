"""The watch list: armed stops by their price, in Redis.

    stops:{symbol}:BUY, stops:{symbol}:SELL   sorted sets: member order id, score stop price in ticks,
                                              negated for SELL: on both sides the first is the next to go
    stops:built      symbols whose two sets are complete; any other is read from PostgreSQL
    stops:building   there while a process does that; a set that was invalidated meanwhile is not complete
    stops:price      symbol → the price that counts for its stops
    stops:moved      symbols to look at: the price changed, or a stop came
    stops:poked      there while a check is on its way; the check takes it off

The matching worker keeps the sets in step after each settlement, with `arm` and `disarm` in the pipeline in
which it publishes. PostgreSQL is the truth: a member too many is found out when its price comes, one too few by
the count of each minute, and a caller that knows that the sets may be wrong calls `invalidate`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import redis
from redis.client import Pipeline

from exchange.base import redis_keys
from matching.core.types import Side

AT_ONCE = 250  # stops that one look at a set gives
ALL = 1_000_000  # symbols

Client = redis.Redis | Pipeline


class Look(NamedTuple):
    """At one set: which stops a price (in ticks) has reached."""

    symbol: str
    side: Side
    price: int


def key(symbol: str, side: Side) -> str:
    return redis_keys.stops(symbol, side.name)


# -- what the matching worker reports


def arm(pipe: Client, symbol: str, side: Side, order_id: str, ticks: int) -> None:
    """Watch a stop. The price may be beyond it already, so the symbol is looked at within the second."""
    add(pipe, symbol, side, {order_id: ticks})
    pipe.sadd(redis_keys.STOPS_MOVED, symbol)


def disarm(pipe: Client, symbol: str, side: Side, order_ids: Collection[str]) -> None:
    """These wait no more: cancelled, or triggered."""
    if order_ids:
        pipe.zrem(key(symbol, side), *order_ids)


def invalidate(pipe: Client, symbols: Iterable[str] = ()) -> None:
    """Have the sets of `symbols` (of all, if none are named) read from PostgreSQL again."""
    names = list(symbols)
    pipe.delete(redis_keys.STOPS_BUILDING)  # what is being read now may be too old
    if names:
        pipe.srem(redis_keys.STOPS_BUILT, *names)
    else:
        pipe.delete(redis_keys.STOPS_BUILT)


# -- what a check asks; each is one round trip


def pop_moved(client: redis.Redis) -> set[str]:
    """The symbols to look at. What moves from now on sends another check."""
    pipe = client.pipeline(transaction=False)
    pipe.delete(redis_keys.STOPS_POKED)
    pipe.spop(redis_keys.STOPS_MOVED, ALL)
    return {symbol.decode() for symbol in pipe.execute()[1]}


def prices(client: redis.Redis, symbols: Sequence[str]) -> dict[str, str]:
    """Of those that have one."""
    found: Any = client.hmget(redis_keys.STOP_PRICES, symbols)
    return {symbol: price.decode() for symbol, price in zip(symbols, found, strict=True) if price}


def reached(client: redis.Redis, looks: Iterable[Look]) -> list[list[str]]:
    """For each look the stops that its price lets go, at most AT_ONCE: those reached first, then the oldest."""
    pipe = client.pipeline(transaction=False)
    for symbol, side, price in looks:
        pipe.zrangebyscore(key(symbol, side), "-inf", _score(side, price), start=0, num=AT_ONCE)
    return [[member.decode() for member in members] for members in pipe.execute()]


def counts(client: redis.Redis, symbols: Iterable[str]) -> dict[tuple[str, Side], int]:
    pairs = [(symbol, side) for symbol in symbols for side in Side]
    pipe = client.pipeline(transaction=False)
    for symbol, side in pairs:
        pipe.zcard(key(symbol, side))
    return dict(zip(pairs, pipe.execute(), strict=True))


def built(client: redis.Redis) -> set[str]:
    found: Any = client.smembers(redis_keys.STOPS_BUILT)
    return {symbol.decode() for symbol in found}


# -- what a rebuild does


def add(pipe: Client, symbol: str, side: Side, stops: Mapping[str, int]) -> None:
    """Stop prices in ticks by order id."""
    if stops:
        pipe.zadd(key(symbol, side), {order_id: _score(side, ticks) for order_id, ticks in stops.items()})


def members(client: redis.Redis, symbol: str, side: Side, about: int) -> Iterator[set[str]]:
    """The set, in parts of `about` so many; who comes or goes meanwhile may be in none."""
    cursor: Any = None
    while cursor != 0:
        answer: Any = client.zscan(key(symbol, side), cursor or 0, count=about)
        cursor, pairs = answer
        yield {member.decode() for member, _ in pairs}


def _score(side: Side, ticks: int) -> int:
    return ticks if side is Side.BUY else -ticks
