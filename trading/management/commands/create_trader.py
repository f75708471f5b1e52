"""`manage.py create_trader`: a funded trader with a token, or as many as a load test wants.

manage.py create_trader me@bank.example --institution demo --fund USDT=1000000 --fund BTC=10 --json
manage.py create_trader 'load{:04d}@demo.exchange' --count 200 --institution demo --fund USDT=1000 --json
"""

from __future__ import annotations

import re
import secrets
from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import msgspec
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email

from exchange.base import ids
from exchange.base.env import env
from exchange.platform.members import demo_mode, tokens
from exchange.platform.members.models import Institution, User, UserManager
from trading.ledger.accounts import deposit
from trading.models import Asset

_PATTERN = re.compile(r"\{(?::0(\d)d?)?\}")
MAX_COUNT = 10_000


class Fund(NamedTuple):
    asset: Asset
    amount: Decimal


class Made(msgspec.Struct):
    """One new trader as `--json` prints it; `password` only if it was not given."""

    email: str
    user_id: str
    token: str
    expires_in: int
    password: str | msgspec.UnsetType = msgspec.UNSET


class Command(BaseCommand):
    help = (
        "Create a funded trader and print an access token; with --count, many. Exit code 0: done; 1: an e-mail is "
        "taken, and the others are made; 2: bad usage, and nothing is done."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="with --count, a pattern such as 'load{:04d}@demo.exchange'")
        parser.add_argument("--institution", required=True, help="code of the institution, such as demo")
        parser.add_argument(
            "--fund",
            action="append",
            default=[],
            metavar="ASSET=AMOUNT",
            help="may be repeated; in demo mode only",
        )
        parser.add_argument("--count", type=int, metavar="N", help="make N of them, numbered from 1")
        parser.add_argument("--password", help="else one is made up and printed")
        parser.add_argument(
            "--order-rate",
            type=int,
            metavar="R",
            help="orders a second; else the institution's; in demo mode only",
        )
        parser.add_argument("--json", action="store_true", help="print a JSON list")
        parser.add_argument("--dry-run", action="store_true", help="check everything, do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if env.jwt_private_key_file is None:
            raise _wrong("JWT_PRIVATE_KEY_FILE is not set: it signs the tokens")
        if options["fund"] and not demo_mode.is_demo():
            raise _wrong(
                "--fund is for demo mode: else money comes by a deposit, or `adjust` takes two people"
            )
        if options["order_rate"] is not None and not demo_mode.is_demo():
            raise _wrong("--order-rate is for demo mode: else it takes two people, in the back office")
        emails = _emails(options["email"], options["count"])
        institution = _institution(options["institution"])
        funds = [_fund(text) for text in options["fund"]]
        if options["order_rate"] is not None and options["order_rate"] < 1:
            raise _wrong(f"--order-rate {options['order_rate']}: must be at least 1")
        taken = set(User.objects.filter(email__in=emails).values_list("email", flat=True))
        free = [email for email in emails if email not in taken]
        if options["dry_run"] and options["json"]:
            self._say(msgspec.json.encode({"dry_run": True, "create": free, "taken": sorted(taken)}).decode())
        elif options["dry_run"]:
            self._say(
                f"would create {len(free)} of {len(emails)} in {institution.code}, "
                f"each with {len(funds)} deposits"
            )
        elif free:
            password = options["password"] or secrets.token_urlsafe(12)
            users = _create(free, institution, password, options["order_rate"])
            _deposit(users, funds)
            self._print(users, "" if options["password"] else password, as_json=options["json"])
        elif options["json"]:
            self._say("[]")
        if taken:
            raise CommandError(f"there is already a user {', '.join(sorted(taken))}", returncode=1)

    def _print(self, users: list[User], password: str, *, as_json: bool) -> None:
        made = [
            Made(user.email, str(user.pk), tokens.access(user), tokens.lifetime(), password or msgspec.UNSET)
            for user in users
        ]
        if as_json:
            self._say(msgspec.json.encode(made).decode())
            return
        for one in made:
            self._say(f"{one.email} {one.user_id}\n{one.token}")
        if password:
            self._say(f"password: {password}")

    def _say(self, line: str) -> None:
        self.stdout.write(line)


def _wrong(text: str) -> CommandError:
    return CommandError(text, returncode=2)


def _emails(pattern: str, count: int | None) -> list[str]:
    places = _PATTERN.findall(pattern)
    if count is None and places:
        raise _wrong(f"{pattern} is a pattern: say how many with --count")
    if count is not None and (len(places) != 1 or not 1 <= count <= MAX_COUNT):
        raise _wrong(
            f"--count takes 1 to {MAX_COUNT} and a pattern with one number, "
            "such as 'load{:04d}@demo.exchange'"
        )
    numbers = range(1, (count or 1) + 1)
    width = int(places[0] or 1) if places else 1
    emails = [_PATTERN.sub(f"{number:0{width}d}", pattern) for number in numbers]
    for email in emails:
        try:
            validate_email(email)
        except ValidationError:
            raise _wrong(f"{email!r} is not an e-mail address") from None
    return [UserManager.normalize_email(email) for email in emails]


def _institution(code: str) -> Institution:
    found = Institution.objects.filter(code=code).first()
    if found is None:
        known = ", ".join(Institution.objects.order_by("code").values_list("code", flat=True)) or "none yet"
        raise _wrong(f"--institution {code}: there is no such institution (there is: {known})")
    return found


def _fund(text: str) -> Fund:
    code, _, amount_text = text.partition("=")
    asset = Asset.objects.filter(code=code).first()
    if asset is None:
        known = ", ".join(Asset.objects.order_by("code").values_list("code", flat=True)) or "none yet"
        raise _wrong(f"--fund {text}: must be ASSET=AMOUNT with one of these assets: {known}")
    try:
        amount = Decimal(amount_text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not (amount.is_finite() and 0 < amount < 10**15 and amount == round(amount, asset.scale)):
        raise _wrong(f"--fund {text}: the amount must be positive, with at most {asset.scale} decimal places")
    return Fund(asset, amount)


def _create(emails: list[str], institution: Institution, password: str, order_rate: int | None) -> list[User]:
    hashed = make_password(password)
    return User.objects.bulk_create(
        User(email=email, password=hashed, institution=institution, order_rate=order_rate) for email in emails
    )


def _deposit(users: list[User], funds: list[Fund]) -> None:
    trace_id = f"create_trader-{ids.uuid7()}"
    for user in users:
        for fund in funds:
            deposit(user=user, asset=fund.asset, amount=fund.amount, trace_id=trace_id)
