"""What `halt` and `resume` share: a market's status changes by a command, in order with all others.

`audit.logs` says who asked, before it happens; MARKET_STATUS_CHANGED of the same trace_id, that it has.
"""

from __future__ import annotations

import getpass
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from exchange.events import audit
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
        trace_id = uuid7()
        if not dry_run:
            _record(market.symbol, market.status, status, trace_id)
        done = dry_run or intake.set_market_status(market, MarketStatus(status), trace_id)
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


def _record(symbol: str, before: str, after: str, trace_id: str) -> None:
    with transaction.atomic():
        audit.record(
            action="market.status",
            resource=f"market/{symbol}",
            actor=f"command:{getpass.getuser()}",
            institution="",
            old={"status": str(before)},
            new={"status": after},
            trace_id=trace_id,
        )
