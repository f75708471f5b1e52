"""`manage.py create_instrument BTC/EUR --tick 0.01 …`: a new market, which trades at once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from matching.models import SymbolGroup
from trading.management.creating_command import EXIT_CODES, CreatingCommand, decimal
from trading.management.market_command import shell_user
from trading.models.instruments import TriggerSource
from trading.reference import listing


class Command(CreatingCommand):
    help = (
        "Create a market of two assets that there are. It takes orders within a second, without a restart of "
        "anything; `halt` it right after if it should not yet. " + EXIT_CODES
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("symbol", help="BASE/QUOTE, such as BTC/USDT")
        parser.add_argument("--tick", required=True, help="prices are multiples of it; cannot change")
        parser.add_argument("--lot", required=True, help="quantities are multiples of it; cannot change")
        parser.add_argument("--min-quantity", help="of an order; else one lot")
        parser.add_argument("--max-quantity", required=True, help="of an order")
        parser.add_argument(
            "--min-notional", required=True, help="least price × quantity, in the quote asset"
        )
        parser.add_argument(
            "--collar",
            default="0.05",
            help="how far from the best price a market order may trade (default: 0.05, which is 5 %%)",
        )
        parser.add_argument("--group", help="the matcher's; else one of those that there are")
        parser.add_argument(
            "--market-symbol",
            default="",
            help="its name at the outside market, such as BTCUSDT; else no price",
        )
        parser.add_argument(
            "--trigger-source",
            default=TriggerSource.LAST_TRADE.value,
            choices=TriggerSource.values,
            help="whose price lets a stop go (default: LAST_TRADE)",
        )
        super().add_arguments(parser)

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        lot = decimal(options["lot"])
        instrument = listing.create_instrument(
            symbol=options["symbol"],
            by=shell_user(),
            tick_size=decimal(options["tick"]),
            lot_size=lot,
            min_quantity=decimal(options["min_quantity"]) if options["min_quantity"] else lot,
            max_quantity=decimal(options["max_quantity"]),
            min_notional=decimal(options["min_notional"]),
            collar=decimal(options["collar"]),
            group=_group(options["group"]),
            market_symbol=options["market_symbol"],
            trigger_source=options["trigger_source"],
        )
        return {"market": instrument.symbol, "group": instrument.group_id, "status": instrument.status}


def _group(name: str | None) -> SymbolGroup | None:
    groups = SymbolGroup.objects.in_bulk()
    if not groups:
        raise CommandError("there is no symbol group: make one with create_group", returncode=2)
    if name is not None and name not in groups:
        raise CommandError(f"no group {name!r}; there are: {', '.join(sorted(groups))}", returncode=2)
    return groups[name] if name is not None else None
