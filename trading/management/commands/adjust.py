"""`manage.py adjust`: ask for a correction of a user's balance, which a second person approves."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.platform.approvals import command_line
from exchange.platform.approvals.requests import ApprovalError
from exchange.platform.members.models import User
from trading.ledger import adjustments
from trading.models import Asset


class Command(BaseCommand):
    help = (
        "Ask for a correction of a user's balance. Nothing is booked until a second person approves it in the back "
        "office. Exit code 0: asked for; 1: refused; 2: bad usage, or a wrong code."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="whose balance")
        parser.add_argument("asset", help="such as USDT")
        parser.add_argument(
            "amount", help="what is added, such as 12.5; taken from it if below zero, such as -12.5"
        )
        parser.add_argument(
            "--against",
            choices=[str(kind.value).lower() for kind in adjustments.CONTRAS],
            default="custody",
            help="the house account on the other side: custody (the default) where the books did not say what came in "
            "or went out, fees where the house gives or takes",
        )
        parser.add_argument("--reason", required=True, help="why, for the second person and the record")
        command_line.add_arguments(parser)
        parser.add_argument("--json", action="store_true", dest="as_json", help="print a JSON document")
        parser.add_argument("--dry-run", action="store_true", help="check everything, ask for nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        user, asset, amount = _user(options["email"]), _asset(options["asset"]), _amount(options["amount"])
        contra = options["against"].upper()
        by = command_line.person(options)
        answer = {"user": user.email, "asset": asset.code, "amount": f"{amount:f}", "against": contra}
        try:
            if options["dry_run"]:
                adjustments.check({**answer, "user": str(user.pk), "contra": contra})
                answer |= {"approval": "", "state": "would be asked for"}
            else:
                approval = adjustments.ask(
                    user=user, asset=asset, amount=amount, reason=options["reason"], by=by, contra=contra
                )
                answer |= {"approval": str(approval.pk), "state": approval.state}
        except ApprovalError as error:
            raise CommandError(str(error), returncode=1) from error
        if options["as_json"]:
            self.stdout.write(json.dumps(answer))
        elif options["dry_run"]:
            self.stdout.write(f"would ask for {amount:+f} {asset.code} for {user.email}")
        else:
            self.stdout.write(f"approval {answer['approval']} waits for a second person, in the back office")


def _user(email: str) -> User:
    found = User.objects.filter(email=User.objects.normalize_email(email)).first()
    if found is None:
        raise CommandError(f"there is no user {email}", returncode=2)
    return found


def _asset(code: str) -> Asset:
    found = Asset.objects.filter(code=code.upper()).first()
    if found is None:
        known = ", ".join(Asset.objects.order_by("code").values_list("code", flat=True)) or "none"
        raise CommandError(f"there is no asset {code!r}; there are: {known}", returncode=2)
    return found


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise CommandError(f"{text!r} is no amount: write it as 12.5 or -12.5", returncode=2)
    return amount
