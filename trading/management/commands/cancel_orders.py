"""`manage.py cancel_orders`: operators take orders out of the books."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from exchange.platform.members.models import Institution, User
from trading.management.market_command import EXIT_CODES, shell_user
from trading.markets import status_control
from trading.models import Order
from trading.orders import operator_cancels
from trading.orders.operator_cancels import CancelRequest, Scope


class Command(BaseCommand):
    help = (
        "Cancel open orders: one, a user's, a market's, an institution's, or those that fit all that is named. "
        "Their owners are told OPERATOR_CANCELLED. " + EXIT_CODES
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--order", metavar="ID", help="this order")
        parser.add_argument("--user", metavar="EMAIL", help="orders of this user")
        parser.add_argument("--market", metavar="SYMBOL", help="orders of this market, such as BTC/USDT")
        parser.add_argument("--institution", metavar="CODE", help="orders of this institution's users")
        parser.add_argument("--reason", required=True, help="why, for the record")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print a JSON document")
        parser.add_argument("--dry-run", action="store_true", help="say how many orders there are")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            scope = _scope(options)
            with transaction.atomic():
                request = operator_cancels.cancel_orders(scope, reason=options["reason"], by=shell_user())
                transaction.set_rollback(options["dry_run"])
        except (status_control.UnknownMarket, ValueError) as error:
            raise CommandError(str(error), returncode=2) from error
        late = 0 if options["dry_run"] else len(status_control.unapplied(request.commands))
        if options["as_json"]:
            self.stdout.write(json.dumps(_document(request, late, options["dry_run"])))
        else:
            would = "would be cancelled" if options["dry_run"] else "cancelled"
            tail = f" ({late} of {len(request.commands)} commands still on their way)" if late else ""
            self.stdout.write(f"{request.orders} open orders of {request.scope} {would}{tail}")
        if late:
            raise SystemExit(1)


def _document(request: CancelRequest, late: int, dry_run: bool) -> dict[str, Any]:
    return {
        "scope": request.scope,
        "orders": request.orders,
        "commands": len(request.commands),
        "late": late,
        "trace_id": request.trace_id,
        "dry_run": dry_run,
    }


def _scope(options: dict[str, Any]) -> Scope:
    """Raises ValueError, UnknownMarket."""
    user = institution = market = order = None
    if options["order"]:
        order = UUID(options["order"])
        if not Order.objects.filter(pk=order).exists():
            raise ValueError(f"there is no order {order}")
    if options["user"]:
        user = User.objects.filter(email=User.objects.normalize_email(options["user"])).first()
        if user is None:
            raise ValueError(f"there is no user {options['user']}")
    if options["market"]:
        (market,) = status_control.markets_of(options["market"])
    if options["institution"]:
        institution = Institution.objects.filter(code=options["institution"]).first()
        if institution is None:
            known = ", ".join(Institution.objects.order_by("code").values_list("code", flat=True))
            raise ValueError(f"there is no institution {options['institution']!r}; there are: {known}")
    return Scope(order, user, market, institution)
