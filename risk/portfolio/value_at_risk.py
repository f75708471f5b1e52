"""Value at risk and expected shortfall. Pure; floats, for these are estimates and move no money.

A profit-and-loss series `pnl` has one number per interval, losses negative; VaR and shortfall are given as
positive losses.

Historical simulation, as in Hull, Options, Futures, and Other Derivatives, chapter "Value at risk": today's
values are put through each past return, and with n outcomes the VaR at confidence c is the k-th worst loss,
k = n(1 - c), rounded up (the fifth worst of 500 at 99 %). The shortfall is the mean of the worst n(1 - c)
outcomes, the last of them in part if that is no whole number: Acerbi and Tasche, On the coherence of expected
shortfall, Journal of Banking & Finance 26 (2002), definition 2.6. So it is never below the VaR.

Parametric: normal with mean zero and the covariance of J.P. Morgan/Reuters, RiskMetrics Technical Document,
4th edition (1996), section 5.2: each return weighs `decay` times as much as the one after it, 0.94 for daily
ones.

Both look one interval ahead; a horizon of h intervals is √h times that (RiskMetrics, section 5.2.1.1).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]

_normal = NormalDist()


class Loss(NamedTuple):
    var: float
    shortfall: float

    def over(self, horizon: int) -> Loss:
        return Loss(self.var * math.sqrt(horizon), self.shortfall * math.sqrt(horizon))


def tail(observations: int, confidence: float) -> float:
    """How many outcomes are in the tail; 500 × 0.01 is 5, and not a little more."""
    return round(observations * (1 - confidence), 9)


def historical(pnl: Series, confidence: float) -> Loss:
    """Raises ValueError where the tail is less than one outcome: that loss has not been seen."""
    size = tail(len(pnl), confidence)
    if size < 1:
        raise ValueError(f"{len(pnl)} outcomes say nothing of the worst {1 - confidence:.0%}")
    worst = np.sort(pnl)[: math.ceil(size)]
    whole = math.floor(size)
    total = float(worst[:whole].sum()) + (size - whole) * float(worst[-1])
    return Loss(-float(worst[-1]), -total / size)


def parametric(values: Series, covariance: NDArray[np.float64], confidence: float) -> Loss:
    """`values` are what is held of each asset, `covariance` that of the assets' returns."""
    deviation = math.sqrt(max(0.0, float(values @ covariance @ values)))
    quantile = _normal.inv_cdf(confidence)
    return Loss(quantile * deviation, _normal.pdf(quantile) / (1 - confidence) * deviation)


def covariance(returns: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    """Of `returns`, a row per interval (the latest last) and a column per asset."""
    weights = decay ** np.arange(len(returns) - 1, -1, -1, dtype=np.float64)
    weights /= weights.sum()
    weighted: NDArray[np.float64] = (returns * weights[:, None]).T @ returns
    return weighted
