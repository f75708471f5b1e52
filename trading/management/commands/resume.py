"""`manage.py resume SYMBOL`: back to trading."""

from __future__ import annotations

from trading.management.market_command import MarketCommand


class Command(MarketCommand):
    help = "Let a market trade again."
