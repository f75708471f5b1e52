"""One user's portfolio in figures: worth, possible loss, and the score that follows. Pure.

Worth is exact (eight places); risks are estimates, for what is held now as if it had been held all along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import NamedTuple

import numpy as np

from exchange.base.decimals import plain
from risk.models.positions import Parameters, Portfolio, Score
from risk.portfolio import concentration, risk_score, value_at_risk, var_backtest
from risk.portfolio.concentration import Concentration
from risk.portfolio.price_history import PriceHistory

_EXACT = Context(prec=80)
_PLACES = Decimal("1e-8")


class Valuation(NamedTuple):
    portfolio: Portfolio
    score: Score
    concentration: Concentration


def reckon(
    user: str,
    at: datetime,
    owned: Mapping[str, Decimal],
    severities: Sequence[int],
    now: PriceHistory,
    parameters: Parameters,
) -> Valuation:
    """`owned` by asset, and the severities of the alerts that count against the user."""
    priced = [asset for asset in owned if asset in now.rates]
    values = {asset: _round(_EXACT.multiply(owned[asset], now.rates[asset])) for asset in priced}
    total = sum(values.values(), Decimal(0))
    largest = concentration.largest(values, parameters.currency)
    portfolio = Portfolio(
        user_id=user,
        due_at=at + timedelta(minutes=parameters.refresh_minutes),
        valued_at=at,
        currency=parameters.currency,
        value=total,
        parts=[_part(asset, owned[asset], now.rates[asset], each, total) for asset, each in values.items()],
        unpriced=sorted(set(owned) - set(values)),
        concentration=largest.share,
        concentrated=largest.asset,
    )
    _add_risk(portfolio, values, now, parameters)
    parts = risk_score.parts(
        value=float(total),
        var_99=None if portfolio.var_99 is None else float(portfolio.var_99),
        share=largest.share,
        severities=severities,
        full_var=parameters.full_var,
        threshold=parameters.concentration,
    )
    rounded = {name: None if part is None else round(part, 4) for name, part in parts._asdict().items()}
    return Valuation(
        portfolio, Score(user_id=user, score=parts.score, parts=rounded, reckoned_at=at), largest
    )


def _add_risk(
    portfolio: Portfolio, values: Mapping[str, Decimal], now: PriceHistory, parameters: Parameters
) -> None:
    """VaR, shortfall and back-test of what is held now, if all of it has enough of a history."""
    risky = sorted(asset for asset in values if asset != parameters.currency and values[asset])
    lengths = {asset: len(now.returns[asset]) for asset in risky}
    short = [asset for asset in risky if lengths[asset] < parameters.least_observations]
    portfolio.observations = min(lengths.values(), default=0)
    if short:
        portfolio.note = (
            f"no VaR: {', '.join(short)} has {portfolio.observations} of the "
            f"{parameters.least_observations} returns ({parameters.interval}) that it needs"
        )[:200]
        return
    if not risky:  # all in the currency: nothing that could move
        for name in ("var_95", "es_95", "var_99", "es_99", "parametric_95", "parametric_99"):
            setattr(portfolio, name, Decimal(0))
        return
    returns = np.column_stack([now.returns[asset][-portfolio.observations :] for asset in risky])
    held = np.array([float(values[asset]) for asset in risky])
    pnl, spread = returns @ held, value_at_risk.covariance(returns, parameters.decay)
    for percent in (95, 99):
        loss = value_at_risk.historical(pnl, percent / 100).over(parameters.horizon)
        normal = value_at_risk.parametric(held, spread, percent / 100).over(parameters.horizon)
        setattr(portfolio, f"var_{percent}", _loss(loss.var))
        setattr(portfolio, f"es_{percent}", _loss(loss.shortfall))
        setattr(portfolio, f"parametric_{percent}", _loss(normal.var))
    test = var_backtest.run(pnl, parameters.least_observations, 0.99)
    portfolio.tested, portfolio.exceptions = test.tested, test.exceptions
    if test.kupiec is not None:
        portfolio.kupiec, portfolio.p_value = test.kupiec


def _part(asset: str, quantity: Decimal, price: Decimal, value: Decimal, total: Decimal) -> dict[str, str]:
    share = value / total if total else Decimal(0)
    return {
        "id": asset,
        "asset": asset,
        "quantity": plain(quantity),
        "price": plain(_round(price)),
        "value": plain(value),
        "share": f"{share:.4f}",
    }


def _round(amount: Decimal) -> Decimal:
    return amount.quantize(_PLACES, context=_EXACT)


def _loss(estimate: float) -> Decimal:
    """What cannot be lost is no loss."""
    return Decimal(str(round(max(0.0, estimate), 2)))
