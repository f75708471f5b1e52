"""How risky a user is, from 0 to 100. Pure; the formula is ours.

Three parts, each from 0 to 1:

    market  VaR at 99 % over the value, against the share at which it counts in full (parameter `full_var`)
    spread  how far the largest share of one asset is above the threshold: 0 at it, 1 where all is one asset
    conduct 1 - Π (1 - w) over the alerts of cases that are under way or were confirmed in the last 90 days, with
            w by severity: 0.1 low, 0.25 medium, 0.5 high, 0.9 critical

    score = 100 × (1 - (1 - 0.5 market)(1 - 0.3 spread)(1 - conduct)), rounded

So each part alone raises it, none can hide another, and conduct alone can take it to the top. What is not
known (a VaR without enough history) is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

MARKET, SPREAD = 0.5, 0.3
CONDUCT = {1: 0.1, 2: 0.25, 3: 0.5, 4: 0.9}


class Parts(NamedTuple):
    market: float | None
    spread: float
    conduct: float

    @property
    def score(self) -> int:
        safe = (1 - MARKET * (self.market or 0.0)) * (1 - SPREAD * self.spread) * (1 - self.conduct)
        return round(100 * (1 - safe))


def parts(
    *,
    value: float,
    var_99: float | None,
    share: float,
    severities: Iterable[int],
    full_var: float,
    threshold: float,
) -> Parts:
    market = None
    if var_99 is not None:
        market = min(1.0, max(0.0, var_99) / value / full_var) if value > 0 else 0.0
    spread = max(0.0, share - threshold) / (1 - threshold) if threshold < 1 else 0.0
    conduct = 1 - math.prod(1 - CONDUCT[severity] for severity in severities)
    return Parts(market, min(1.0, spread), conduct)
