"""`manage.py simulate`: makers and takers trade the demo market through the REST API, until SIGTERM.

Demo mode only. Exit code 2 and nothing done outside of it or if an argument is wrong; 1 if the exchange could
not be traded on, or orders are left open; else 0.
"""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from decimal import Decimal
from random import Random
from typing import Any

import httpx
import msgspec
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from exchange.base.env import env
from exchange.base.ports import reachable
from exchange.platform.members import demo_mode
from exchange.platform.members.models import Institution, User
from exchange.simulate.client import Trader, Unexpected
from exchange.simulate.run import Simulation
from trading.ledger.accounts import deposit
from trading.management.commands.demo import FUNDS, PASSWORD
from trading.models import Account, Asset

EMAILS = [f"sim{number:02d}@demo.exchange" for number in range(1, 7)]
MAKERS = 3  # of them; the others take
ORDER_RATE = 1_000  # a second and trader: our own rate is the bound
MOST_RATE = 100
TIMEOUT = 10.0


class Command(BaseCommand):
    help = "Trades the demo market with a few makers and takers of its own. Needs EXCHANGE_DEMO."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--rate",
            type=_rate,
            default=10,
            metavar="N",
            help="orders placed or cancelled a second over all markets, at most (default 10)",
        )
        parser.add_argument("--seconds", type=_seconds, metavar="N", help="how long (default: forever)")
        parser.add_argument("--seed", type=int, metavar="N", help="the same prices and sizes each time")
        parser.add_argument("--json", action="store_true", help="print a summary as JSON at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        if not demo_mode.is_demo():
            raise CommandError(
                "not in demo mode: EXCHANGE_DEMO is not set, or `manage.py demo` did not begin this installation",
                returncode=2,
            )
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it has a line for each request
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        _fund(_users())
        connections.close_all()  # from here on it is a client like any other
        url = f"http://{reachable(env.exchange_bind)}:{env.exchange_http_port}/api/v1"
        with httpx.Client(base_url=url, timeout=TIMEOUT) as http:
            traders = [Trader(http, email, PASSWORD) for email in EMAILS]
            simulation = Simulation(
                http,
                traders[:MAKERS],
                traders[MAKERS:],
                rate=options["rate"],
                random=Random(options["seed"]),  # noqa: S311 - no secret
                stop=stop,
                say=self._progress,
            )
            try:
                summary = simulation.run(options["seconds"])
            except (httpx.HTTPError, Unexpected) as error:
                raise CommandError(f"{url}: {error}", returncode=1) from error
        if options["json"]:
            self.stdout.write(msgspec.json.encode(summary).decode())
        self._progress(
            f"{summary.orders} orders and {summary.trades} trades in {summary.seconds:g} s, "
            f"{summary.errors} errors"
        )
        if not summary.clean:
            raise CommandError(f"orders may be left open: {summary.last_error}", returncode=1)

    def _progress(self, line: str) -> None:
        self.stderr.write(f"simulate: {line}")
        self.stderr.flush()


def _users() -> dict[str, User]:
    institution = Institution.objects.filter(code="demo").first()
    if institution is None:
        raise CommandError("there is no demo yet: run manage.py demo first", returncode=1)
    known = User.objects.in_bulk(EMAILS, field_name="email")
    missing = [email for email in EMAILS if email not in known]
    if missing:
        password = make_password(PASSWORD)
        User.objects.bulk_create(
            User(email=email, password=password, institution=institution, order_rate=ORDER_RATE)
            for email in missing
        )
    return User.objects.in_bulk(EMAILS, field_name="email")


def _fund(users: dict[str, User]) -> None:
    """An account is opened by its first deposit: who has one was funded before."""
    assets = Asset.objects.in_bulk(list(FUNDS), field_name="code")
    funded = set(Account.objects.filter(user__email__in=EMAILS).values_list("user__email", "asset__code"))
    for email, user in users.items():
        for code, asset in assets.items():
            if (email, code) not in funded:
                deposit(user=user, asset=asset, amount=Decimal(FUNDS[code]), trace_id="simulate")


def _rate(text: str) -> int:
    return int(_between(int(text), 1, MOST_RATE))


def _seconds(text: str) -> float:
    return _between(float(text), 0.1, 10.0**9)


def _between(value: float, least: float, most: float) -> float:
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"must be from {least:g} to {most:g}")
    return value
