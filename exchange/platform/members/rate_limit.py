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
from typing import Any, NamedTuple

import msgspec
from redis.client import Pipeline

from exchange.base.http.problems import Problem
from exchange.base.redis import Circuit, client, run_together
from exchange.platform.members.authentication import Member

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


class Takings:
    """Of several buckets, what is to be taken, in seconds of filling. `outcomes`, when Redis has been asked: whether
    it was taken, and seconds until the bucket is full."""

    def __init__(self, wanted: Sequence[tuple[str, float]], window: float) -> None:
        self.outcomes: list[tuple[bool, float]] = []
        self._wanted = wanted
        self._window = window

    def queue(self, pipe: Pipeline) -> None:
        for key, price in self._wanted:
            pipe.eval(_TAKE, 1, key, round(price * 1e6), round(self._window * 1e6))

    def receive(self, answers: list[Any]) -> None:
        self.outcomes = [(bool(taken), micros / 1e6) for taken, micros in answers]

    def unavailable(self) -> None:
        self.outcomes = [_local.take(key, price, self._window) for key, price in self._wanted]


class Charge(Takings):
    """What orders cost their members: each from its member's bucket, all of it or none."""

    def __init__(self, spendings: Sequence[Spending]) -> None:
        self._spendings = spendings
        self._prices = [cost * ORDERS_WINDOW / member.order_rate for member, cost in spendings]
        keys = [f"rate:orders:{member.user_id}" for member, _ in spendings]
        super().__init__(list(zip(keys, self._prices, strict=True)), ORDERS_WINDOW)

    @property
    def allowances(self) -> list[Allowance]:
        return [
            _allowance(outcome, price, member.order_rate, ORDERS_WINDOW)
            for outcome, price, (member, _) in zip(self.outcomes, self._prices, self._spendings, strict=True)
        ]


def spend(spendings: Sequence[Spending]) -> list[Allowance]:
    """Take them in one round trip."""
    charge = Charge(spendings)
    run_together(client(), _circuit, charge)
    return charge.allowances


def take(key: str, cost: int, limit: int, window: float) -> Allowance:
    """Take `cost` tokens of the `limit` (at least 1) that fill bucket `key` in `window` seconds."""
    price = cost * window / limit
    takings = Takings([(key, price)], window)
    run_together(client(), _circuit, takings)
    return _allowance(takings.outcomes[0], price, limit, window)


def _allowance(outcome: tuple[bool, float], price: float, limit: int, window: float) -> Allowance:
    taken, until_full = outcome
    remaining = max(0, int((window - until_full) * limit / window + 1e-6))
    wait = 0.0 if taken else until_full + price - window
    return Allowance(taken, limit, remaining, math.ceil(until_full), max(1, math.ceil(wait)))


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
