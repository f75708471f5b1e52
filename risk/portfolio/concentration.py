"""How much of a portfolio is in one asset. Pure.

The currency that portfolios are valued in is no risk of its own, but it is part of the whole: half in BTC and
half in USDT is a concentration of one half.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from risk.models.cases import Severity

KIND = "CONCENTRATION"

# From which share on it is how bad, if it is beyond the threshold at all.
_SEVERITIES = ((0.9, Severity.HIGH), (0.6, Severity.MEDIUM), (0.0, Severity.LOW))


class Concentration(NamedTuple):
    asset: str
    share: float

    @property
    def severity(self) -> Severity:
        return next(severity for least, severity in _SEVERITIES if self.share >= least)

    @property
    def level(self) -> float:
        """The share in whole tenths, so that a price that wavers is no news."""
        return int(self.share * 10) / 10


NONE = Concentration("", 0.0)


def largest(values: Mapping[str, Decimal], currency: str) -> Concentration:
    """Of the values of what is held, by asset."""
    total = sum(values.values(), Decimal(0))
    others = [(value, asset) for asset, value in values.items() if asset != currency]
    if not others or total <= 0:
        return NONE
    value, asset = max(others)
    return Concentration(asset, float(value / total))


def is_news(now: Concentration, before: Concentration, threshold: float) -> bool:
    """It is beyond the threshold, and was not, or was so in another asset, or by a tenth less."""
    if now.share <= threshold:
        return False
    return before.share <= threshold or before.asset != now.asset or before.level < now.level
