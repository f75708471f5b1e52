"""Orders before the pre-trade gate: the decision is made in `risk.pretrade.gate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from msgspec.structs import replace

from exchange.base.database import own_connection
from exchange.platform.members.rate_limit import Charge
from risk.pretrade import gate
from risk.pretrade.gate import OrderCheck, PretradeDecision
from trading.models import Order
from trading.orders.amendment_terms import AmendmentTerms
from trading.orders.candidates import OrderCandidate, order_check
from trading.orders.order import terms_of
from trading.reference.catalog import catalog


class PretradeHold:
    """What the gate counted for these candidates is released but for those that are kept."""

    def __init__(self, decision: PretradeDecision | None, candidates: Sequence[OrderCandidate]) -> None:
        self._decision = decision
        self._places = {candidate.order_id: place for place, candidate in enumerate(candidates)}

    def keep(self, accepted: Iterable[OrderCandidate]) -> None:
        for candidate in accepted:
            self._places.pop(candidate.order_id, None)

    def close(self) -> None:
        if self._decision is not None:
            self._decision.release(self._places.values())


@contextmanager
def judged(
    connection: psycopg.Connection[Any], candidates: Sequence[OrderCandidate], charge: Charge | None = None
) -> Iterator[PretradeHold]:
    """Set the `reason` of candidates that the gate refuses; the `charge` is read in the same round trip. May
    raise psycopg.Error."""
    charges = [charge] if charge is not None else []
    if not candidates or gate.idle(connection):
        gate.consult(*charges)
        yield PretradeHold(None, ())
        return
    decision = PretradeDecision(connection, [candidate.check() for candidate in candidates])
    gate.consult(*charges, decision)
    decision.decide()
    for candidate, refusal in zip(candidates, decision.refusals, strict=True):
        if refusal is not None:
            candidate.reason = candidate.reason or refusal
    answer = PretradeHold(decision, candidates)
    try:
        yield answer
    finally:
        answer.close()


def judge_amendment(order: Order, amended: AmendmentTerms, institution: str) -> str:
    """Why the order may not become what it would be `amended`; empty if it may. May raise psycopg.Error."""
    connection = own_connection()
    if gate.idle(connection):
        return ""
    market = catalog.by_id(order.instrument_id)
    terms = terms_of(order, market)
    filled = market.scale.to_lots(order.filled_quantity)
    assert filled is not None, "a stored order is in lots"

    def check(price: int, lots: int) -> OrderCheck:
        return order_check(market, institution, replace(terms, price=price, quantity=lots))

    price, total = amended.reckoned_from
    whole, before = check(amended.worst_price, amended.quantity), check(price, total - filled)
    after = check(amended.worst_price, amended.quantity - filled)
    return gate.judge_amendment(connection, whole, before, after) or ""
