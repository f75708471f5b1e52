"""`manage.py candles`: count trades into candles now, or make all candles again from the trades."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from marketdata.candles.aggregate import aggregate
from marketdata.candles.rebuild import TradesMissing, rebuild
from marketdata.models.markets import Market, market, markets


class Command(BaseCommand):
    help = (
        "Count the trades that are not in candles yet. With --rebuild, compare all candles with the trades first and "
        "correct what differs. Exit code 0: done; 1: a dry run found differences, or trades are missing; 2: bad usage, "
        "or no such market."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--rebuild", action="store_true", dest="rebuild", help="from all trades since the first"
        )
        parser.add_argument("--symbol", help="rebuild this market only, such as BTC/USDT")
        parser.add_argument("--dry-run", action="store_true", help="say what differs, and change nothing")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(
        self, *args: Any, rebuild: bool, symbol: str | None, dry_run: bool, as_json: bool, **options: Any
    ) -> None:
        if not rebuild and (dry_run or symbol):
            raise CommandError("--symbol and --dry-run go with --rebuild", returncode=2)
        items = [self._rebuild(each, dry_run) for each in self._chosen(symbol)] if rebuild else []
        counted, gaps = (0, set()) if dry_run else self._count()
        differences = sum(item["missing"] + item["wrong"] + item["surplus"] for item in items)
        if as_json:
            answer = {"items": items, "differences": differences, "counted": counted, "dry_run": dry_run}
            self.stdout.write(json.dumps(answer, indent=2))
        else:
            for item in items:
                self.stdout.write(_line(item))
            self.stdout.write(f"{counted} trades counted" if not dry_run else f"{differences} differences")
        if gaps or any(item["error"] for item in items) or (dry_run and differences):
            raise SystemExit(1)

    def _chosen(self, symbol: str | None) -> list[Market]:
        if symbol is None:
            return markets()
        found = market(symbol)
        if found is None:
            known = ", ".join(each.symbol for each in markets())
            raise CommandError(f"no market {symbol!r}; there are: {known}", returncode=2)
        return [found]

    def _rebuild(self, market: Market, dry_run: bool) -> dict[str, Any]:
        self.stderr.write(f"… {market.symbol}")
        item: dict[str, Any] = {
            "symbol": market.symbol,
            "missing": 0,
            "wrong": 0,
            "surplus": 0,
            "error": None,
        }
        try:
            difference = rebuild(market.id, dry_run=dry_run)
        except TradesMissing as error:
            return item | {"error": str(error)}
        return item | {
            "missing": difference.missing,
            "wrong": difference.wrong,
            "surplus": difference.surplus,
        }

    def _count(self) -> tuple[int, set[int]]:
        """All that is new, and the instruments whose trades have gaps."""
        total = 0
        while True:
            counted = aggregate()
            total += sum(counted.trades.values())
            if counted.finished:
                return total, counted.gaps
            self.stderr.write(f"… {total} trades")


def _line(item: dict[str, Any]) -> str:
    if item["error"]:
        return f"{item['symbol']}: left alone, {item['error']}"
    return f"{item['symbol']}: {item['missing']} missing, {item['wrong']} wrong, {item['surplus']} without trades"
