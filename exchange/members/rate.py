"""Rate limits: a token bucket per key, shared through Redis, or of this process alone while Redis is away.

The bucket is kept as one number, the moment at which it will be full again (the generic cell rate
algorithm): it holds `limit` tokens, fills in `window` seconds, and a request takes `cost` at once or nothing.
One script, one round trip. For orders the window is one second: a rate of 10 means a burst of 10 and 10 a
second after it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import redis

from exchange.errors import Problem
from exchange.members.session import Member
from exchange.redis import Circuit, client

ORDERS_WINDOW = 1.0  # seconds

# KEYS[1]: the bucket; ARGV: cost and window, both in microseconds of filling.
# Answers {1 if taken, microseconds until full}.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full = tonumber(redis.call('GET', KEYS[1]) or '0')
if full < now then full = now end
local after = full + ARGV[1]
if after - now > tonumber(ARGV[2]) then return {0, full - now} end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1)
return {1, after - now}
"""

_circuit = Circuit()


class Spending(NamedTuple):
    """`cost` orders of a member's rate."""

    member: Member
    cost: int


class Allowance(msgspec.Struct, frozen=True, gc=False):
    """`remaining` tokens of `limit`; all of them are back after `reset_seconds`."""

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: int
    retry_after: int


class LocalBuckets:
    """The same buckets in this process's memory: what holds while Redis is away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._full_at: dict[str, float] = {}

    def take(self, key: str, cost: float, window: float) -> tuple[bool, float]:
        """True and the seconds until the bucket is full; `cost` is in seconds of filling."""
        with self._lock:
            now = time.monotonic()
            full = max(self._full_at.get(key, 0.0), now)
            if full + cost - now > window:
                return False, full - now
            if len(self._full_at) >= 10_000:
                self._full_at = {key: moment for key, moment in self._full_at.items() if moment > now}
            self._full_at[key] = full + cost
            return True, full + cost - now


_local = LocalBuckets()


def spend(spendings: Sequence[Spending]) -> list[Allowance]:
    """Take each from its member's bucket: all of it, or none. One round trip for all of them."""
    prices = [cost * ORDERS_WINDOW / member.order_rate for member, cost in spendings]
    keys = [f"rate:orders:{member.user_id}" for member, _ in spendings]
    taken = _take(list(zip(keys, prices, strict=True)), ORDERS_WINDOW)
    return [
        _allowance(each, price, member.order_rate, ORDERS_WINDOW)
        for each, price, (member, _) in zip(taken, prices, spendings, strict=True)
    ]


def take(key: str, cost: int, limit: int, window: float) -> Allowance:
    """Take `cost` tokens of the `limit` (at least 1) that fill bucket `key` in `window` seconds."""
    price = cost * window / limit
    return _allowance(_take([(key, price)], window)[0], price, limit, window)


def _allowance(outcome: tuple[bool, float], price: float, limit: int, window: float) -> Allowance:
    taken, until_full = outcome
    remaining = max(0, int((window - until_full) * limit / window + 1e-6))
    wait = 0.0 if taken else until_full + price - window
    return Allowance(taken, limit, remaining, math.ceil(until_full), max(1, math.ceil(wait)))


def _take(takings: Sequence[tuple[str, float]], window: float) -> list[tuple[bool, float]]:
    """Of each bucket its price in seconds of filling: whether it was taken, and seconds until it is full."""
    if not _circuit.away():
        pipe = client().pipeline(transaction=False)
        for key, price in takings:
            pipe.eval(_TAKE, 1, key, round(price * 1e6), round(window * 1e6))
        try:
            outcomes = pipe.execute()
        except redis.RedisError as error:
            _circuit.failed(error)
        else:
            _circuit.works()
            return [(bool(taken), micros / 1e6) for taken, micros in outcomes]
    return [_local.take(key, price, window) for key, price in takings]


def headers(allowance: Allowance) -> dict[str, str]:
    """RateLimit fields as draft-ietf-httpapi-ratelimit-headers has them (structured fields, RFC 9651)."""
    return {
        "RateLimit-Policy": f'"orders";q={allowance.limit};w={ORDERS_WINDOW:.0f}',
        "RateLimit": f'"orders";r={allowance.remaining};t={allowance.reset_seconds}',
    }


def refusal(allowance: Allowance, cost: int) -> Problem:
    """429 for orders above the rate."""
    fields = headers(allowance) | {"Retry-After": str(allowance.retry_after)}
    if cost > allowance.limit:
        limit = allowance.limit
        detail = f"{cost} orders at once are above your {limit} a second: send at most {limit}."
        return Problem(429, "batch_above_rate", detail, headers=fields)
    detail = f"You may send {allowance.limit} orders a second; {allowance.remaining} are left at this moment."
    return Problem(429, "rate_limited", detail, headers=fields)
