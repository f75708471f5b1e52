"""What `halt` and `resume` share: a market's status changes by a command, in order with all others."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.ids import uuid7
from matching.core.types import MarketStatus
from trading import intake
from trading.catalog import catalog


class MarketCommand(BaseCommand):
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("symbol", help="such as BTC/USDT")
        parser.add_argument("--json", action="store_true", dest="as_json")
        parser.add_argument("--dry-run", action="store_true", help="say what would change")

    def handle(
        self,
        *args: Any,
        symbol: str,
        as_json: bool,
        dry_run: bool,
        status: str = MarketStatus.TRADING.value,
        **options: Any,
    ) -> None:
        market = catalog.market(symbol)
        if market is None:
            known = ", ".join(each.symbol for each in catalog.markets())
            raise CommandError(f"no market {symbol!r}; there are: {known}", returncode=2)
        done = dry_run or intake.set_market_status(market, MarketStatus(status), uuid7())
        answer = {
            "symbol": market.symbol,
            "before": market.status,
            "after": status,
            "done": done,
            "dry_run": dry_run,
        }
        if as_json:
            self.stdout.write(json.dumps(answer))
        else:
            late = "" if done else " (its matcher has not come to it yet)"
            self.stdout.write(
                f"{market.symbol}: {market.status} → {status}{' would be' if dry_run else ''}{late}"
            )
