"""The pre-trade gate: whether an order may be taken at all, before its funds are looked at.

    rules (memory) → what needs no counting → counts (Redis, else PostgreSQL) → refusals, first reason first

It decides on a whole intake batch: one round trip to Redis, and none where nobody is limited. What else it goes by
is kept fresh beside the order path (`risk.fresh`); where nobody does, it looks itself. Orders that it counted and
that were not accepted after all are given back with `Judgement.give_back`.

Known limits of it: counts may be off for up to a minute after Redis lost something, and learn of deposits,
withdrawals and fees in that time. The price band is for LIMIT orders, as market orders have their collar and stops
wait for a price of another day; without a fresh reference price there is no band.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec
import psycopg
import redis

from exchange import metrics
from exchange.redis import Circuit, client
from risk import counts, references
from risk.counts import Change, Count
from risk.fresh import refresher, rules
from risk.rules import Ceilings


class Refusal(StrEnum):
    """Why an order was not taken; what its REJECTED row and the answer say."""

    USER_BLOCKED = "USER_BLOCKED"
    RISK_SCORE = "RISK_SCORE"
    MAX_ORDER_NOTIONAL = "MAX_ORDER_NOTIONAL"
    PRICE_BAND = "PRICE_BAND"
    MAX_OPEN_ORDERS = "MAX_OPEN_ORDERS"
    MAX_DAILY_NOTIONAL = "MAX_DAILY_NOTIONAL"
    MAX_POSITION = "MAX_POSITION"


class Ask(msgspec.Struct, frozen=True, gc=False):
    """An order as the gate sees it. `limit_price` only for LIMIT orders; `notional` is price × quantity at
    the worst price it may trade at, in `currency`, the quote asset. What is owned is counted in units of
    `unit_places` decimal places of the base asset."""

    user_id: str
    institution_id: str
    instrument: int
    symbol: str
    base: int
    unit_places: int
    currency: str
    buying: bool
    lots: int
    lot_size: Decimal
    notional: Decimal
    limit_price: Decimal | None

    def change(self, orders: int) -> Change:
        lots = orders * self.lots if self.buying else 0
        return Change(self.user_id, self.instrument, self.currency, self.base, orders, lots, 0, 0)


class Judgement:
    """`refusals` has one entry an ask, None for those that may pass."""

    def __init__(self, asks: Sequence[Ask]) -> None:
        self.refusals: list[Refusal | None] = [None] * len(asks)
        self.counted: set[int] = set()  # places of asks that Redis counts as open now
        self._asks = asks

    def give_back(self, places: Iterable[int]) -> None:
        """The asks at these places have not become orders."""
        changes = [self._asks[place].change(-1) for place in places if place in self.counted]
        if changes and not _circuit.away():
            pipe = client().pipeline(transaction=False)
            counts.tell(pipe, changes)
            try:
                pipe.execute()
            except redis.RedisError as error:
                _circuit.failed(error)


def idle(connection: psycopg.Connection[Any]) -> bool:
    """True while nobody is limited or blocked: then there is nothing to judge. May raise psycopg.Error."""
    rules.refresh(connection)
    return rules.empty


def judge(connection: psycopg.Connection[Any], asks: Sequence[Ask]) -> Judgement:
    """May raise psycopg.Error: then nothing was counted."""
    started = time.perf_counter()
    rules.refresh(connection)
    judgement = Judgement(asks)
    ceilings = [rules.ceilings(a.user_id, a.institution_id, a.symbol, a.currency) for a in asks]
    counted = []
    for place, (ask, ceiling) in enumerate(zip(asks, ceilings, strict=True)):
        judgement.refusals[place] = _uncounted(connection, ask, ceiling)
        if ceiling.counted and judgement.refusals[place] is None:
            counted.append(place)
    if counted:
        _judge_counts(connection, judgement, asks, ceilings, counted)
    metrics.gate_seconds.observe(time.perf_counter() - started)
    for refusal in filter(None, judgement.refusals):
        metrics.refusals.labels(refusal.value).inc()
    return judgement


def judge_amendment(connection: psycopg.Connection[Any], ask: Ask) -> Refusal | None:
    """For an order as it would be: all but what is counted, which it is in already."""
    rules.refresh(connection)
    ceiling = rules.ceilings(ask.user_id, ask.institution_id, ask.symbol, ask.currency)
    return _uncounted(connection, ask, ceiling)


def _uncounted(connection: psycopg.Connection[Any], ask: Ask, ceiling: Ceilings) -> Refusal | None:
    if rules.blocked and (ask.user_id in rules.blocked or ask.institution_id in rules.blocked):
        return Refusal.USER_BLOCKED
    if ceiling.risk_score is not None and rules.scores.get(ask.user_id, 0) > ceiling.risk_score:
        return Refusal.RISK_SCORE
    if ceiling.order_notional is not None and ask.notional > ceiling.order_notional:
        return Refusal.MAX_ORDER_NOTIONAL
    if ceiling.price_band is not None and ask.limit_price is not None:
        reference = references.price(connection, ask.symbol)
        if reference and abs(ask.limit_price - reference) > reference * ceiling.price_band:
            return Refusal.PRICE_BAND
    return None


def _judge_counts(
    connection: psycopg.Connection[Any],
    judgement: Judgement,
    asks: Sequence[Ask],
    ceilings: Sequence[Ceilings],
    places: list[int],
) -> None:
    found, by_redis = _counts(connection, [asks[place].change(1) for place in places])
    refused = []
    for place, count in zip(places, found, strict=True):
        if by_redis:
            judgement.counted.add(place)
        judgement.refusals[place] = _counted(asks[place], ceilings[place], count)
        if judgement.refusals[place] is not None:
            refused.append(place)
    judgement.give_back(refused)
    judgement.counted.difference_update(refused)


def _counts(connection: psycopg.Connection[Any], changes: list[Change]) -> tuple[list[Count], bool]:
    """The count of each with itself, and whether Redis has counted it."""
    by_user: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        by_user[change.user_id].append(change)
    if not _circuit.away():
        try:
            found = counts.count(client(), by_user)
            missing = {user: by_user[user] for user, counted in found.items() if counted is None}
            if missing:
                counts.keep(client(), counts.load(connection, missing))
                found |= counts.count(client(), missing)
            _circuit.works()
            ordered = {user: iter(counted.counts) for user, counted in found.items() if counted is not None}
            if len(ordered) == len(found):
                refresher.reload(user for user, counted in found.items() if counted and counted.stale)
                return [next(ordered[change.user_id]) for change in changes], True
        except redis.RedisError as error:
            _circuit.failed(error)
    tallies = counts.load(connection, by_user)
    return [tallies[change.user_id].count(change) for change in changes], False


def _counted(ask: Ask, ceiling: Ceilings, count: Count) -> Refusal | None:
    if _above(count.open_here, ceiling.open_here) or _above(count.open_everywhere, ceiling.open_everywhere):
        return Refusal.MAX_OPEN_ORDERS
    traded_here = Decimal(count.traded_here) / counts.HUNDREDTHS + ask.notional
    traded_in_currency = Decimal(count.traded_in_currency) / counts.HUNDREDTHS + ask.notional
    if _above(traded_here, ceiling.traded_here) or _above(traded_in_currency, ceiling.traded_in_currency):
        return Refusal.MAX_DAILY_NOTIONAL
    if ceiling.position is not None and ask.buying:
        owned = Decimal(count.owned).scaleb(-ask.unit_places)
        if owned + count.buying * ask.lot_size > ceiling.position:
            return Refusal.MAX_POSITION
    return None


def _above(number: int | Decimal, ceiling: int | Decimal | None) -> bool:
    return ceiling is not None and number > ceiling


_circuit = Circuit()
