"""`manage.py move_market SYMBOL GROUP --reason WHY`: have another matcher match a market."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from trading.management.market_command import shell_user
from trading.markets import move
from trading.markets.status_control import UnknownMarket, markets_of
from trading.orders.operator_commands import checked_reason


class Command(BaseCommand):
    help = (
        "Move a market to another symbol group, with its open orders and while it trades; both groups' matchers "
        "pause for about a second. Exit code 0: moved; 1: it cannot be moved, or it was and the new group's "
        "matcher has not taken it over in time (is it running?); 2: bad usage."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("symbol", help="such as BTC/USDT")
        parser.add_argument("group", help="where it goes, see `manage.py groups`")
        parser.add_argument("--reason", required=True, help="why, for the record")
        parser.add_argument("--no-wait", action="store_true", help="do not wait for the new group's matcher")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print a JSON document")
        parser.add_argument("--dry-run", action="store_true", help="say what would move")

    def handle(self, *args: Any, **options: Any) -> None:
        symbol, group, dry_run = options["symbol"], options["group"], options["dry_run"]
        try:
            reason = checked_reason(options["reason"])
            (market,) = markets_of(symbol)
            if dry_run:
                move.check_target(market.symbol, market.group, group)
                found = {"symbol": market.symbol, "from_group": market.group, "to_group": group}
                found |= {"orders": move.open_orders(market.id)}
                taken_over = False
            else:
                with transaction.atomic():
                    moved = move.move(symbol, group, reason=reason, by=shell_user())
                found = asdict(moved)
                taken_over = not options["no_wait"] and move.wait(moved)
        except (UnknownMarket, ValueError) as error:
            raise CommandError(str(error), returncode=2) from error
        except move.CannotMove as error:
            raise CommandError(str(error), returncode=1) from error
        late = not (dry_run or options["no_wait"] or taken_over)
        if options["as_json"]:
            self.stdout.write(json.dumps({**found, "taken_over": taken_over, "dry_run": dry_run}))
        else:
            would = " would be moved" if dry_run else ""
            tail = f"; no matcher of {group} has taken it over yet" if late else ""
            self.stdout.write(
                f"{found['symbol']}: {found['from_group']} → {group}{would}, {found['orders']} open orders{tail}"
            )
        if late:
            raise SystemExit(1)
