"""What `halt`, `cancel_only`, `post_only` and `resume` share: which markets, and how what came of it is printed."""

from __future__ import annotations

import getpass
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from matching.core.types import MarketStatus
from matching.models import SymbolGroup
from trading.markets import restrict, status_control
from trading.markets.status_control import StatusRequest

EXIT_CODES = "Exit code 0: done; 1: refused, or a matcher has not come to it yet; 2: bad usage."


class TargetCommand(BaseCommand):
    """Of one market or of all markets of a group, for a reason."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("symbol", nargs="?", help="such as BTC/USDT")
        parser.add_argument("--group", help="all markets of this group instead, see `manage.py groups`")
        parser.add_argument("--reason", required=True, help="why, for the record")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print a JSON document")
        parser.add_argument("--dry-run", action="store_true", help="say what would change")

    def target(self, symbol: str | None, group: str | None) -> str | SymbolGroup:
        if (symbol is None) == (group is None):
            raise CommandError("name one market, or a group with --group", returncode=2)
        if symbol is not None:
            return symbol
        found = SymbolGroup.objects.filter(name=group).first()
        if found is None:
            names = ", ".join(SymbolGroup.objects.order_by("name").values_list("name", flat=True))
            raise CommandError(f"no group {group!r}; there are: {names or 'none'}", returncode=2)
        return found


class RestrictCommand(TargetCommand):
    """Makes a market stricter, which one person may."""

    status: MarketStatus

    def handle(self, *args: Any, **options: Any) -> None:
        target = self.target(options["symbol"], options["group"])
        status = MarketStatus(options.get("status") or self.status)
        try:
            with transaction.atomic():
                requests = restrict.restrict(target, status, reason=options["reason"], by=shell_user())
                transaction.set_rollback(options["dry_run"])
        except (status_control.UnknownMarket, ValueError) as error:
            raise CommandError(str(error), returncode=2) from error
        except restrict.NeedsSecondPerson as error:
            raise CommandError(str(error), returncode=1) from error
        late = [] if options["dry_run"] else status_control.wait(requests)
        self._print(requests, late, as_json=options["as_json"], dry_run=options["dry_run"])
        if late:
            raise SystemExit(1)

    def _print(
        self,
        requests: Sequence[StatusRequest],
        late: Sequence[StatusRequest],
        *,
        as_json: bool,
        dry_run: bool,
    ) -> None:
        if as_json:
            answer = [
                {**asdict(each), "done": not dry_run and each not in late, "dry_run": dry_run}
                for each in requests
            ]
            self.stdout.write(json.dumps(answer))
            return
        for each in requests:
            tail = " (its matcher has not come to it yet)" if each in late else ""
            self.stdout.write(
                f"{each.symbol}: {each.before} → {each.after}{' would be' if dry_run else ''}{tail}"
            )


def shell_user() -> str:
    """Who runs the command, for the record."""
    return f"command:{getpass.getuser()}"
