"""`manage.py resume SYMBOL --reason WHY --by EMAIL --code CODE`: ask for a market to trade again."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from exchange.platform.approvals.requests import ApprovalError
from exchange.platform.members import second_factor
from exchange.platform.members.models import User
from matching.core.types import MarketStatus
from trading.management.market_command import TargetCommand
from trading.markets import resume
from trading.markets.status_control import UnknownMarket, markets_of
from trading.orders.operator_commands import checked_reason


class Command(TargetCommand):
    help = (
        "Ask for a market, or all markets of a group, to trade again. A second person approves it in the back "
        "office; until then nothing changes. Exit code 0: asked; 1: refused; 2: bad usage, or a wrong code."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--by", required=True, metavar="EMAIL", help="who asks: one of the platform's staff"
        )
        parser.add_argument("--code", required=True, help="a code of their second factor that is good now")
        parser.add_argument(
            "--status",
            default=MarketStatus.TRADING.value,
            choices=[MarketStatus.TRADING.value, MarketStatus.POST_ONLY.value],
            help="what to go back to; POST_ONLY takes orders that do not trade at once (default: TRADING)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        target, status = self.target(options["symbol"], options["group"]), MarketStatus(options["status"])
        try:
            reason = checked_reason(options["reason"])
            symbols = [market.symbol for market in markets_of(target)]
            if options["dry_run"]:
                for symbol in symbols:
                    resume.check({"symbol": symbol, "status": status.value})
                approval = ""
            else:
                person = _person(options["by"], options["code"])
                approval = str(resume.ask(target, status=status, reason=reason, by=person).pk)
        except (UnknownMarket, ValueError) as error:
            raise CommandError(str(error), returncode=2) from error
        except ApprovalError as error:
            raise CommandError(str(error), returncode=1) from error
        if options["as_json"]:
            answer = {"markets": symbols, "status": status.value, "approval": approval or None}
            self.stdout.write(json.dumps({**answer, "dry_run": options["dry_run"]}))
        else:
            asked = f"asked for, as approval {approval}" if approval else "would be asked for"
            self.stdout.write(f"{', '.join(symbols)} → {status}: {asked}; a second person decides")


def _person(email: str, code: str) -> User:
    """One of the staff, whose code it is."""
    found = User.objects.filter(email=User.objects.normalize_email(email), is_staff=True).first()
    if found is None or not second_factor.confirm(found, code):
        raise CommandError(
            "--by and --code: no such person of the staff, or not their code now", returncode=2
        )
    return found
