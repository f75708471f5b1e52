"""What trades in one market come to, by the method of average cost. Pure.

A holding is a quantity of the base asset and what it cost. A fill that adds to it adds its cost. A fill that
takes from it takes the same share of the cost out, and what it brought beyond that is realised; what goes
through zero opens the other side at its own price. Fees are part of the cost: a buyer gets less for the same
money, a seller gets less money. Amounts are exact but for the cost taken out, which is rounded once to the
ledger's 18 places: so `realised - cost` is always exactly the quote asset that came in.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple

ZERO = Decimal(0)
_PLACES = Decimal("1e-18")
_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)


class Holding(NamedTuple):
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    trades: int = 0

    @property
    def cash(self) -> Decimal:
        """The quote asset that the trades brought, less what they took."""
        return _EXACT.subtract(self.realised, self.cost)


def bought(holding: Holding, price: Decimal, quantity: Decimal, fee: Decimal) -> Holding:
    """`fee` is in the base asset."""
    return _filled(holding, _EXACT.subtract(quantity, fee), _EXACT.multiply(price, quantity))


def sold(holding: Holding, price: Decimal, quantity: Decimal, fee: Decimal) -> Holding:
    """`fee` is in the quote asset."""
    proceeds = _EXACT.subtract(_EXACT.multiply(price, quantity), fee)
    return _filled(holding, -quantity, -proceeds)


def _filled(holding: Holding, change: Decimal, cost: Decimal) -> Holding:
    """`change` of the base asset came in (or, negative, went out) and `cost` of the quote asset went out (or
    came in)."""
    before, trades = holding.quantity, holding.trades + 1
    if change == 0:  # the fee took all that was bought
        return holding._replace(realised=_EXACT.subtract(holding.realised, cost), trades=trades)
    if before == 0 or (before > 0) == (change > 0):
        return Holding(_EXACT.add(before, change), _EXACT.add(holding.cost, cost), holding.realised, trades)
    closing = min(abs(change), abs(before))
    closed_cost = _share(holding.cost, closing, abs(before))
    closing_cost = _share(cost, closing, abs(change))
    left, rest = _EXACT.subtract(holding.cost, closed_cost), _EXACT.subtract(cost, closing_cost)
    gained = _EXACT.subtract(ZERO, _EXACT.add(closed_cost, closing_cost))
    return Holding(
        _EXACT.add(before, change), _EXACT.add(left, rest), _EXACT.add(holding.realised, gained), trades
    )


def _share(cost: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    if part == whole:
        return cost
    return _EXACT.divide(_EXACT.multiply(cost, part), whole).quantize(_PLACES, context=_EXACT)
