"""The pre-trade gate: whether an order may be taken at all, before its funds are looked at.

    rules (memory) → what needs no counting → counts (Redis, else PostgreSQL) → refusals, first reason first

It decides on a whole intake batch: one round trip to Redis, in company with the rate limits' (`consult`). What else
it goes by is kept fresh beside the order path (`risk.pretrade.refresher`); where no thread does, it looks itself.
The exposure of orders that it counted and that were not accepted after all is released with
`PretradeDecision.release` (docs/decisions/006).

Known limits of it: counts may be off for up to a minute after Redis lost something, and see deposits, withdrawals
and fees within that time. The price band is for LIMIT orders, as market orders have their collar and stops wait for
a price of another day; without a fresh reference price there is no band.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec
import psycopg
import redis
from redis.client import Pipeline

from exchange.base import metrics
from exchange.base.redis import Circuit, PipelinedRead, client, run_together
from risk.pretrade import exposure, reference_prices
from risk.pretrade.exposure import Count, Counted, ExposureChange, Tally
from risk.pretrade.refresher import refresher, rules
from risk.pretrade.rules import Ceilings


class Refusal(StrEnum):
    """Why an order was not taken; what its REJECTED row and the answer say."""

    USER_BLOCKED = "USER_BLOCKED"
    KYC_LEVEL = "KYC_LEVEL"
    RISK_SCORE = "RISK_SCORE"
    MAX_ORDER_NOTIONAL = "MAX_ORDER_NOTIONAL"
    PRICE_BAND = "PRICE_BAND"
    MAX_OPEN_ORDERS = "MAX_OPEN_ORDERS"
    MAX_DAILY_NOTIONAL = "MAX_DAILY_NOTIONAL"
    MAX_POSITION = "MAX_POSITION"


class OrderCheck(msgspec.Struct, frozen=True, gc=False):
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

    def change(self, orders: int) -> ExposureChange:
        lots = orders * self.lots if self.buying else 0
        return ExposureChange(self.user_id, self.instrument, self.currency, self.base, orders, lots, 0, 0)


class PretradeDecision:
    """Of a batch of orders. `refusals`, after `decide`, has one entry a check, None for those that may pass.

    In between it reads from Redis, in one round trip with other reads (`consult`).
    """

    def __init__(self, connection: psycopg.Connection[Any], checks: Sequence[OrderCheck]) -> None:
        """Decide what needs no counting. May raise psycopg.Error."""
        started = time.perf_counter()
        self.refusals: list[Refusal | None] = []
        self._connection = connection
        self._checks = checks
        self._ceilings = [rules.ceilings(c.user_id, c.institution_id, c.symbol, c.currency) for c in checks]
        self._counting: dict[str, list[int]] = defaultdict(list)  # of each user, places in `checks`
        self._found: dict[str, Counted | None] = {}
        self._kept: set[int] = set()  # places of those that Redis counts as open now
        for place, (check, ceiling) in enumerate(zip(checks, self._ceilings, strict=True)):
            self.refusals.append(_uncounted(connection, check, ceiling))
            if ceiling.counted and self.refusals[place] is None:
                self._counting[check.user_id].append(place)
        self._seconds = time.perf_counter() - started

    def queue(self, pipe: Pipeline) -> None:
        started = time.perf_counter()
        exposure.queue(pipe, self._changes(self._counting), rules.since)
        self._seconds += time.perf_counter() - started

    def receive(self, answers: list[Any]) -> None:
        self._found = exposure.parse(self._counting, answers)

    def unavailable(self) -> None:
        self._found = {}

    def decide(self) -> None:
        """Decide by the counts. May raise psycopg.Error: then nothing is counted that would not be in a minute."""
        started = time.perf_counter()
        refused = []
        for user, found in self._counted().items():
            for place, count in zip(self._counting[user], found, strict=True):
                self.refusals[place] = _above_ceilings(self._checks[place], self._ceilings[place], count)
                if self.refusals[place] is not None:
                    refused.append(place)
        self.release(refused)
        metrics.gate_seconds.observe(self._seconds + time.perf_counter() - started)
        for refusal in filter(None, self.refusals):
            metrics.refusals.labels(refusal.value).inc()

    def release(self, places: Iterable[int]) -> None:
        """The checks at these places have not become orders: count them down."""
        counted = self._kept.intersection(places)
        self._kept -= counted
        if counted and not _circuit.away():
            pipe = client().pipeline(transaction=False)
            exposure.record(pipe, [self._checks[place].change(-1) for place in counted])
            try:
                pipe.execute()
            except redis.RedisError as error:
                _circuit.failed(error)

    def _counted(self) -> dict[str, list[Count]]:
        """Each user's counts with their checks, one after the other: as Redis has counted them, or PostgreSQL."""
        missing = {user: places for user, places in self._counting.items() if self._found.get(user) is None}
        if missing:
            tallies = exposure.load(self._connection, missing)
            if self._found or not _circuit.away():
                self._count_again(missing, tallies)
        found: dict[str, list[Count]] = {}
        for user, places in self._counting.items():
            counted = self._found.get(user)
            if counted is None:
                found[user] = [tallies[user].count(self._checks[place].change(1)) for place in places]
            else:
                found[user] = counted.counts
                self._kept.update(places)
        refresher.reload(user for user, counted in self._found.items() if counted and counted.stale)
        return found

    def _count_again(self, missing: Mapping[str, list[int]], tallies: Mapping[str, Tally]) -> None:
        """Those for whom Redis had no key, with the tallies that PostgreSQL has."""
        try:
            exposure.store(client(), tallies)
            pipe = client().pipeline(transaction=False)
            exposure.queue(pipe, self._changes(missing), rules.since)
            self._found |= exposure.parse(missing, pipe.execute())
            _circuit.works()
        except redis.RedisError as error:
            _circuit.failed(error)

    def _changes(self, places: Mapping[str, Sequence[int]]) -> dict[str, list[ExposureChange]]:
        return {user: [self._checks[place].change(1) for place in own] for user, own in places.items()}


def idle(connection: psycopg.Connection[Any]) -> bool:
    """True while there are no limits and no blocks: then there is nothing to decide. May raise psycopg.Error."""
    rules.refresh(connection)
    return rules.empty


def consult(*reads: PipelinedRead) -> None:
    """Read all of them from Redis in one round trip."""
    with metrics.consult_seconds.time():
        run_together(client(), _circuit, *reads)


def judge_amendment(
    connection: psycopg.Connection[Any], whole: OrderCheck, before: OrderCheck, after: OrderCheck
) -> Refusal | None:
    """For an order as it would be as a `whole`. What rests of it is counted already, so what is counted has a say only
    where that grows, from `before` to `after`."""
    rules.refresh(connection)
    ceiling = rules.ceilings(whole.user_id, whole.institution_id, whole.symbol, whole.currency)
    refusal = _uncounted(connection, whole, ceiling)
    grows = after.lots > before.lots or after.notional > before.notional
    if refusal is not None or not ceiling.counted or not grows:
        return refusal
    tally = exposure.load(connection, [whole.user_id])[whole.user_id]
    tally.count(before.change(-1))
    return _above_sums(after, ceiling, tally.count(after.change(1)))


def _uncounted(connection: psycopg.Connection[Any], check: OrderCheck, ceiling: Ceilings) -> Refusal | None:
    if rules.blocked and (check.user_id in rules.blocked or check.institution_id in rules.blocked):
        return Refusal.USER_BLOCKED
    if not rules.permits.open and rules.permits.refuse(check.user_id, check.institution_id):
        return Refusal.KYC_LEVEL
    if ceiling.risk_score is not None and rules.scores.get(check.user_id, 0) > ceiling.risk_score:
        return Refusal.RISK_SCORE
    if ceiling.order_notional is not None and check.notional > ceiling.order_notional:
        return Refusal.MAX_ORDER_NOTIONAL
    if ceiling.price_band is not None and check.limit_price is not None:
        reference = reference_prices.price(connection, check.symbol)
        if reference and abs(check.limit_price - reference) > reference * ceiling.price_band:
            return Refusal.PRICE_BAND
    return None


def _above_ceilings(check: OrderCheck, ceiling: Ceilings, count: Count) -> Refusal | None:
    if _above(count.open_here, ceiling.open_here) or _above(count.open_everywhere, ceiling.open_everywhere):
        return Refusal.MAX_OPEN_ORDERS
    return _above_sums(check, ceiling, count)


def _above_sums(check: OrderCheck, ceiling: Ceilings, count: Count) -> Refusal | None:
    traded_here = Decimal(count.traded_here) / exposure.HUNDREDTHS + check.notional
    traded_in_currency = Decimal(count.traded_in_currency) / exposure.HUNDREDTHS + check.notional
    if _above(traded_here, ceiling.traded_here) or _above(traded_in_currency, ceiling.traded_in_currency):
        return Refusal.MAX_DAILY_NOTIONAL
    if ceiling.position is not None and check.buying:
        owned = Decimal(count.owned).scaleb(-check.unit_places)
        if owned + count.buying * check.lot_size > ceiling.position:
            return Refusal.MAX_POSITION
    return None


def _above(number: int | Decimal, ceiling: int | Decimal | None) -> bool:
    return ceiling is not None and number > ceiling


_circuit = Circuit()
