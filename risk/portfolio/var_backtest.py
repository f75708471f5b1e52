"""Was the VaR right? It is reckoned again at each interval of the past from what was known then, and the losses
beyond it are counted. Pure.

Whether they are too many or too few: the proportion-of-failures test of Kupiec, Techniques for Verifying the
Accuracy of Risk Management Models, Journal of Derivatives 3 (1995), pp. 73-84. With x failures in n, where
p = 1 - confidence is expected,

    LR = -2 ln[(1 - p)^(n-x) p^x] + 2 ln[(1 - x/n)^(n-x) (x/n)^x]

is chi-squared with one degree of freedom if the VaR is right. Known figures: 6 failures in 252 at 99 % are
3.498 (Jorion, Value at Risk, 3rd edition, chapter 6, question 10); 57 in 1043 at 95 % are 0.46147 with
p-value 0.49694 (MATLAB Risk Management Toolbox, documentation of `pof`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from risk.portfolio.value_at_risk import Series, tail

REJECTED_BELOW = 0.05  # p-value, as usual


class Kupiec(NamedTuple):
    statistic: float
    p_value: float


class BackTest(NamedTuple):
    tested: int
    exceptions: int
    kupiec: Kupiec | None  # None: nothing was tested


def kupiec(observations: int, exceptions: int, confidence: float) -> Kupiec:
    if not 0 <= exceptions <= observations or observations == 0:
        raise ValueError(f"{exceptions} exceptions of {observations}")
    expected, seen = 1 - confidence, exceptions / observations
    statistic = 2 * (
        _likelihood(observations, exceptions, seen) - _likelihood(observations, exceptions, expected)
    )
    statistic = max(0.0, statistic)  # rounding may leave a little less
    return Kupiec(statistic, math.erfc(math.sqrt(statistic / 2)))


def _likelihood(observations: int, exceptions: int, probability: float) -> float:
    """Its logarithm; 0 ln 0 is 0."""
    rest = observations - exceptions
    return (exceptions * math.log(probability) if exceptions else 0.0) + (
        rest * math.log1p(-probability) if rest else 0.0
    )


def run(pnl: Series, window: int, confidence: float) -> BackTest:
    """The historical VaR of each `window` outcomes against the outcome that came next."""
    tested = len(pnl) - window
    if tested < 1 or tail(window, confidence) < 1:
        return BackTest(0, 0, None)
    place = math.ceil(tail(window, confidence)) - 1
    windows = np.lib.stride_tricks.sliding_window_view(pnl[:-1], window)
    quantiles = np.partition(windows, place, axis=1)[:, place]
    exceptions = int((pnl[window:] < quantiles).sum())
    return BackTest(tested, exceptions, kupiec(tested, exceptions, confidence))
