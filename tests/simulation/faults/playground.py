"""The demo's markets, and random orders in them: close around one price, so that about half of them trade."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

LEVELS = 6  # prices on either side of the middle
MOST_LOTS = 9


@dataclass(frozen=True)
class Playground:
    symbol: str
    group: str
    middle: Decimal
    step: Decimal
    lot: Decimal

    def price(self, chance: random.Random) -> Decimal:
        return self.middle + self.step * chance.randint(-LEVELS, LEVELS)

    def quantity(self, chance: random.Random) -> Decimal:
        return self.lot * chance.randint(1, MOST_LOTS)


PLAYGROUNDS = {
    ground.symbol: ground
    for ground in (
        Playground("BTC/USDT", "alpha", Decimal(50_000), Decimal(1), Decimal("0.001")),
        Playground("ETH/USDT", "beta", Decimal(3000), Decimal("0.1"), Decimal("0.01")),
        Playground("BTC/TRY", "beta", Decimal(2_000_000), Decimal(100), Decimal("0.001")),
    )
}
GROUPS = frozenset(ground.group for ground in PLAYGROUNDS.values())
FUNDS = ("BTC=1000", "ETH=10000", "USDT=100000000", "TRY=1000000000")

# Cumulative chances of what is not a plain limit order.
KINDS: list[tuple[float, dict[str, Any]]] = [
    (0.15, {"time_in_force": "IOC"}),
    (0.20, {"time_in_force": "FOK"}),
    (0.25, {"post_only": True}),
    (0.30, {"order_type": "MARKET", "price": None}),
]


def invent(chance: random.Random, client_order_id: str) -> dict[str, Any]:
    """The body of an order."""
    ground = chance.choice(list(PLAYGROUNDS.values()))
    order = {
        "symbol": ground.symbol,
        "side": chance.choice(["BUY", "SELL"]),
        "order_type": "LIMIT",
        "quantity": str(ground.quantity(chance)),
        "price": str(ground.price(chance)),
        "client_order_id": client_order_id,
    }
    draw = chance.random()
    return order | next((more for limit, more in KINDS if draw < limit), {})
