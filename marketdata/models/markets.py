"""What market data knows of a market, read from trading's views by plain SQL."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.db import connection

_MARKETS = """
    SELECT id, symbol, base, quote, tick_size, lot_size, status FROM read_market"""


@dataclass(frozen=True, slots=True)
class Market:
    id: int
    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    status: str


def markets() -> list[Market]:
    """All there are, by symbol."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_MARKETS} ORDER BY symbol")
        return [Market(*row) for row in cursor.fetchall()]


def market(symbol: str) -> Market | None:
    """By its symbol, as BTC/USDT or BTC-USDT."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_MARKETS} WHERE symbol = %s", [symbol.replace("-", "/")])
        row = cursor.fetchone()
    return None if row is None else Market(*row)
