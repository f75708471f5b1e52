"""`manage.py halt SYMBOL`: restrict a market."""

from __future__ import annotations

from django.core.management.base import CommandParser

from matching.core.types import MarketStatus
from trading.management.market_command import MarketCommand


class Command(MarketCommand):
    help = (
        "Restrict a market: HALTED and CANCEL_ONLY refuse new orders, POST_ONLY takes what would not trade."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--status",
            default=MarketStatus.HALTED.value,
            choices=[status.value for status in MarketStatus if status is not MarketStatus.TRADING],
        )
