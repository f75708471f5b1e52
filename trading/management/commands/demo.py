"""`manage.py demo`: two institutions with their looks, three instruments and twenty funded traders to play
with. In demo mode only.

What is there stays as it is: running it again adds only what is missing.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError

from exchange.env import env
from exchange.members.models import Brand, Institution, InstitutionHost, Role, User
from matching.models import SymbolGroup
from trading.accounts import deposit
from trading.catalog import catalog
from trading.models import Account, Asset, FeeSchedule, Instrument

PASSWORD = "demo-pass"  # noqa: S105 - shown on the front page, in demo mode only
OPERATOR = "operator@demo.exchange"
TRADERS = [f"trader{number:02d}@demo.exchange" for number in range(1, 21)]
GROUPS = ["alpha", "beta"]

# The scale is the ledger's, for prices and fees in it too; how many places people see is a matter of the
# display.
ASSETS = {"BTC": "Bitcoin", "ETH": "Ether", "USDT": "Tether USD", "TRY": "Turkish lira"}
SCALE = 8

# symbol, tick, lot, least and greatest quantity, least notional, group
INSTRUMENTS = [
    ("BTC/USDT", "0.01", "0.00001", "0.00001", "1000", "1", "alpha"),
    ("ETH/USDT", "0.01", "0.0001", "0.0001", "10000", "1", "beta"),
    ("BTC/TRY", "1", "0.00001", "0.00001", "1000", "50", "beta"),
]
FUNDS = {"BTC": "100", "ETH": "1000", "USDT": "10000000", "TRY": "100000000"}

# code, name, hosts, colours of its own; a logo of the same name is in `exchange/members/demo`
LOGOS = Path(__file__).resolve().parents[3] / "exchange" / "members" / "demo"
INSTITUTIONS: list[tuple[str, str, list[str], dict[str, str]]] = [
    ("demo", "Demo Bank", ["localhost", "127.0.0.1"], {}),
    (
        "crescent",
        "Crescent Invest",
        ["crescent.localhost"],
        {"accent": "#7b3fe4", "buy": "#1c8fd1", "sell": "#d9692b"},
    ),
]

MAKER, TAKER = "0.001", "0.0015"


class Command(BaseCommand):
    help = "Loads the demo: institution, instruments, fees, funded traders, an operator. Needs EXCHANGE_DEMO."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        if not env.exchange_demo:
            raise CommandError(
                "not in demo mode: set EXCHANGE_DEMO=true where real money is far away", returncode=2
            )
        institutions = _institutions()
        institution = institutions[0]
        _instruments(institutions)
        added = _users(institution)
        deposits = _funds()
        if options["verbosity"]:
            self.stdout.write(
                f"demo is loaded: {added} users and {deposits} deposits added; password {PASSWORD}"
            )


def _institutions() -> list[Institution]:
    found = []
    for code, name, hosts, colours in INSTITUTIONS:
        institution, _ = Institution.objects.get_or_create(code=code, defaults={"name": name})
        logo = (LOGOS / f"{code}.png").read_bytes()
        Brand.objects.get_or_create(institution=institution, defaults={**colours, "logo": logo})
        for host in hosts:
            InstitutionHost.objects.get_or_create(host=host, defaults={"institution": institution})
        found.append(institution)
    return found


def _instruments(institutions: list[Institution]) -> None:
    for group in GROUPS:
        SymbolGroup.objects.get_or_create(name=group)
    assets = {
        code: Asset.objects.get_or_create(code=code, defaults={"name": name, "scale": SCALE})[0]
        for code, name in ASSETS.items()
    }
    known = set(Instrument.objects.values_list("symbol", flat=True))
    for symbol, tick, lot, least, greatest, notional, group in INSTRUMENTS:
        if symbol in known:
            continue
        base, quote = symbol.split("/")
        instrument = Instrument(
            symbol=symbol,
            base=assets[base],
            quote=assets[quote],
            tick_size=Decimal(tick),
            lot_size=Decimal(lot),
            min_quantity=Decimal(least),
            max_quantity=Decimal(greatest),
            min_notional=Decimal(notional),
            group_id=group,
            market_symbol=symbol.replace("/", ""),
        )
        instrument.full_clean()
        instrument.save()
    rates = {"maker": Decimal(MAKER), "taker": Decimal(TAKER)}
    for institution in institutions:
        FeeSchedule.objects.get_or_create(institution=institution, instrument=None, defaults=rates)
    catalog.forget()


def _users(institution: Institution) -> int:
    """How many were missing."""
    emails = [*TRADERS, OPERATOR]
    known = set(User.objects.filter(email__in=emails).values_list("email", flat=True))
    missing = [email for email in emails if email not in known]
    if missing:
        password = make_password(PASSWORD)
        User.objects.bulk_create(_user(email, password, institution) for email in missing)
    return len(missing)


def _user(email: str, password: str, institution: Institution) -> User:
    user = User(email=email, password=password, institution=institution)
    if email == OPERATOR:
        user.role, user.is_staff, user.is_superuser = Role.OPERATOR, True, True
    return user


def _funds() -> int:
    """Fund what was never funded; how many deposits that took. An account is opened by its first deposit."""
    funded = set(Account.objects.filter(user__email__in=TRADERS).values_list("user__email", "asset__code"))
    traders = User.objects.in_bulk(TRADERS, field_name="email")
    assets = Asset.objects.in_bulk(list(FUNDS), field_name="code")
    missing = [(email, code) for email in TRADERS for code in FUNDS if (email, code) not in funded]
    for email, code in missing:
        deposit(user=traders[email], asset=assets[code], amount=Decimal(FUNDS[code]), trace_id="demo")
    return len(missing)
