"""What one unit of each asset is worth in the currency, by way of the markets there are. Pure.

The way is the shortest chain of markets; of equally short ones the first by name, so that it stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal
from typing import NamedTuple

import numpy as np

from risk.var import Series

_EXACT = Context(prec=50)


class Step(NamedTuple):
    """One market on the way; `inverse` where the asset is its quote."""

    symbol: str
    inverse: bool


Path = tuple[Step, ...]


def paths(markets: Iterable[tuple[str, str, str]], currency: str) -> dict[str, Path]:
    """From each asset that can be reached, by (symbol, base, quote). The currency's own way is empty."""
    known: dict[str, Path] = {currency: ()}
    frontier, listed = [currency], sorted(markets)
    while frontier:
        reached = []
        for target in frontier:
            for symbol, base, quote in listed:
                for asset, to, inverse in ((base, quote, False), (quote, base, True)):
                    if to == target and asset not in known:
                        known[asset] = (Step(symbol, inverse), *known[target])
                        reached.append(asset)
        frontier = reached
    return known


def rate(path: Path, prices: Mapping[str, Decimal]) -> Decimal:
    value = Decimal(1)
    for step in path:
        operation = _EXACT.divide if step.inverse else _EXACT.multiply
        value = operation(value, prices[step.symbol])
    return value


def returns(path: Path, closes: Mapping[str, Series]) -> Series:
    """Of the asset in the currency, from closes of equal length; as many as all markets on the way have, the
    latest last."""
    product: Series | None = None
    for step in path:
        series = closes[step.symbol]
        series = 1 / series if step.inverse else series
        product = series if product is None else product * series
    if product is None:
        return np.zeros(0)
    product = product[~np.isnan(product)]  # only the beginning can be missing: closes are carried forward
    return product[1:] / product[:-1] - 1
