"""The conversion path from an asset to a currency, and its rate. Pure.

The path is the shortest chain of markets; of equally short ones the first by name, so that it stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal
from typing import NamedTuple

_EXACT = Context(prec=50)


class Step(NamedTuple):
    """One market on the path; `inverse` where the asset is its quote."""

    symbol: str
    inverse: bool


Path = tuple[Step, ...]


def paths(markets: Iterable[tuple[str, str, str]], currency: str) -> dict[str, Path]:
    """From each asset that can be reached, by (symbol, base, quote). The currency's own path is empty."""
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
