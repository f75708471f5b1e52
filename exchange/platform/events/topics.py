"""The topics that we write, and what each is keyed by: events of one key arrive in the order they happened."""

from __future__ import annotations

TRADES = "trade.events"
ORDERS = "order.events"
BOOKS = "orderbook.updates"
PRICES = "market.prices"
AUDIT = "audit.logs"
RISK = "risk.alerts"
ACCOUNTS = "account.events"

KEYS = {
    TRADES: "symbol",
    ORDERS: "user, or the symbol where a market's status changed",
    BOOKS: "symbol",
    PRICES: "symbol",
    AUDIT: "institution",
    RISK: "user, or the symbol or kind where no user is meant",
    ACCOUNTS: "user",
}
TOPICS = tuple(KEYS)


def dlq(topic: str) -> str:
    """Where a consumer puts what it can't handle."""
    return f"{topic}.dlq"
