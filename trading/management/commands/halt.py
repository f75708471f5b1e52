"""`manage.py halt SYMBOL --reason WHY`: take no more orders in a market, or in all of a group."""

from __future__ import annotations

from django.core.management.base import CommandParser

from matching.core.types import MarketStatus
from trading.management.market_command import EXIT_CODES, RestrictCommand


class Command(RestrictCommand):
    help = (
        "Halt a market, or all markets of a group: new orders and amendments are refused, cancels are taken. "
        "It trades again when a second person approves `resume`. " + EXIT_CODES
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--status",
            default=MarketStatus.HALTED.value,
            choices=[status.value for status in MarketStatus if status is not MarketStatus.TRADING],
            help="HALTED (default); CANCEL_ONLY refuses the same; POST_ONLY takes orders that do not trade at once",
        )
