"""What one unit of each asset is worth in a currency at this moment, read by SQL from market data's tables.

A price is the one that market data has last published, ours or the outside market's; where there is none, that
of the last trade.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from django.db import connection

from risk.portfolio import conversion
from risk.portfolio.conversion import Path

_MARKETS = """
    SELECT i.symbol, i.base, i.quote, coalesce(p.price, c.price, (
           SELECT t.price FROM read_trade t WHERE t.instrument_id = i.id ORDER BY t.number DESC LIMIT 1))
      FROM read_market i
      LEFT JOIN marketdata_price p ON p.instrument_id = i.id
      LEFT JOIN marketdata_candlecursor c ON c.instrument_id = i.id"""


class AssetPrices(NamedTuple):
    """By asset; one that nothing is known of is in neither. `paths` says by which markets."""

    paths: dict[str, Path]
    rates: dict[str, Decimal]


def read(currency: str) -> AssetPrices:
    with connection.cursor() as cursor:
        cursor.execute(_MARKETS)
        priced = [row for row in cursor.fetchall() if row[3] is not None]
    paths = conversion.paths([row[:3] for row in priced], currency)
    by_symbol = {row[0]: row[3] for row in priced}
    return AssetPrices(paths, {asset: conversion.rate(path, by_symbol) for asset, path in paths.items()})
