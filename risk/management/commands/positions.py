"""`manage.py positions`: compare positions with the ledger, or count them again from the trades."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from risk.models import valuation_queue
from risk.portfolio import positions, reconcile


class Command(BaseCommand):
    help = (
        "Compare what users' positions say with what the ledger has booked for their trades. With --rebuild, forget a "
        "market's positions and count its trades anew. Exit code 0: they agree; 1: there are differences; 2: bad "
        "usage, or no such market."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--rebuild", metavar="SYMBOL", help="count this market anew, such as BTC/USDT; or: all"
        )
        parser.add_argument("--dry-run", action="store_true", help="say which, and change nothing")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *args: Any, rebuild: str | None, dry_run: bool, as_json: bool, **options: Any) -> None:
        if dry_run and rebuild is None:
            raise CommandError("--dry-run goes with --rebuild", returncode=2)
        chosen = [] if rebuild is None else self._chosen(rebuild)
        if not dry_run:
            self._rebuild(chosen)
        found = reconcile.differences()
        answer = {
            "differences": [
                {
                    "user": each.user,
                    "asset": each.asset,
                    "counted": f"{each.counted:f}",
                    "booked": f"{each.booked:f}",
                }
                for each in found
            ],
            "lag": reconcile.lag(),
            "rebuilt": chosen,
            "dry_run": dry_run,
        }
        if as_json:
            self.stdout.write(json.dumps(answer, indent=2))
        else:
            for each in found:
                self.stdout.write(
                    f"{each.user} {each.asset}: {each.counted:f}, the ledger has {each.booked:f}"
                )
            waiting = sum(reconcile.lag().values())
            self.stdout.write(f"{len(found)} differences; {waiting} trades are still to be counted")
        if found:
            raise SystemExit(1)

    def _chosen(self, rebuild: str) -> list[str]:
        traded = sorted(reconcile.lag())
        if rebuild == "all":
            return traded
        if rebuild not in traded:
            raise CommandError(
                f"nothing was traded in {rebuild!r}; there are: {', '.join(traded)}", returncode=2
            )
        return [rebuild]

    def _rebuild(self, symbols: list[str]) -> None:
        for symbol in symbols:
            with transaction.atomic():
                positions.rebuild(symbol)
        total = 0
        while symbols and (counted := positions.catch_up()):
            total += counted
            self.stderr.write(f"… {total} trades")
        if symbols:
            valuation_queue.enqueue_missing()
