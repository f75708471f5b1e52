"""How what an asset is worth in the currency has changed, by way of the markets there are. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from risk.var import Series
from risk.ways import Path, Step, paths, rate

__all__ = ["Path", "Step", "paths", "rate", "returns"]


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
