"""`manage.py demo`: two institutions with their looks, three instruments, twenty funded traders to play with, and
staff of every role. In demo mode only, and only in a database that was empty when it was run first.

What is there stays as it is: running it again adds only what is missing.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.platform.kyc.levels import HIGHEST
from exchange.platform.kyc.models import KycProfile, ProfileState
from exchange.platform.members import demo_mode
from exchange.platform.members.models import Brand, Institution, InstitutionHost, Role, User
from matching.models import SymbolGroup
from trading.ledger.accounts import deposit
from trading.models import Account, Asset, FeeSchedule, Instrument
from trading.reference.catalog import catalog

PASSWORD = "demo-pass"  # noqa: S105 - shown on the front page, in demo mode only
OPERATOR = "operator@demo.exchange"
# Staff: role and institution. The platform has two, because much takes two persons.
STAFF: dict[str, tuple[Role, str]] = {
    OPERATOR: (Role.PLATFORM_ADMIN, ""),
    "second@demo.exchange": (Role.PLATFORM_ADMIN, ""),
    "admin@demo.exchange": (Role.INSTITUTION_ADMIN, "demo"),
    "dealer@demo.exchange": (Role.DEALER, "demo"),
    "compliance@demo.exchange": (Role.COMPLIANCE, "demo"),
    "auditor@demo.exchange": (Role.AUDITOR, "demo"),
    "support@demo.exchange": (Role.SUPPORT, "demo"),
    "admin@crescent.exchange": (Role.INSTITUTION_ADMIN, "crescent"),
}
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

# code, name, hosts, colours of its own; a logo of the same name is in `exchange/platform/members/demo`
LOGOS = Path(__file__).resolve().parents[3] / "exchange" / "platform" / "members" / "demo"
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
    help = (
        "Load the demo: institutions, instruments, fees, funded traders and staff; what is there stays as it is. Exit "
        "code 0: loaded; 1: it failed; 2: bad usage, not in demo mode (EXCHANGE_DEMO), or an installation in use that "
        "is no demo."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
        parser.add_argument("--dry-run", action="store_true", help="say what is missing, and add nothing")

    def handle(self, *args: Any, as_json: bool, dry_run: bool, **options: Any) -> None:
        try:
            demo_mode.check_demo() if dry_run else demo_mode.begin_demo()
        except demo_mode.NotADemo as error:
            raise CommandError(str(error), returncode=2) from error
        if dry_run:
            added, deposits = len(_missing_users()), len(_missing_funds())
        else:
            institutions = _institutions()
            _instruments(institutions)
            added, deposits = _users(institutions), _funds()
            _identify()
        if as_json:
            self.stdout.write(json.dumps({"users": added, "deposits": deposits, "dry_run": dry_run}))
        elif dry_run:
            self.stdout.write(f"missing: {added} users and {deposits} deposits")
        elif options["verbosity"]:
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
        if not FeeSchedule.objects.filter(institution=institution, instrument=None).exists():
            FeeSchedule.objects.create(institution=institution, **rates)
    catalog.clear_cache()


def _users(institutions: list[Institution]) -> int:
    """How many were missing."""
    missing = _missing_users()
    if missing:
        password = make_password(PASSWORD)
        by_code = {institution.code: institution for institution in institutions}
        User.objects.bulk_create(_user(email, password, by_code) for email in missing)
    # A demo of before this release had one operator, who was a superuser.
    User.objects.filter(email=OPERATOR, is_superuser=True).update(is_superuser=False)
    return len(missing)


def _user(email: str, password: str, institutions: dict[str, Institution]) -> User:
    role, code = STAFF.get(email, (Role.TRADER, "demo"))
    return User(
        email=email,
        password=password,
        institution=institutions.get(code),
        role=role,
        is_staff=role != Role.TRADER,
    )


def _identify() -> None:
    """The traders are known in full, so that no cap is in the way of a demonstration."""
    traders = User.objects.filter(email__in=TRADERS).exclude(pk__in=KycProfile.objects.values("user"))
    KycProfile.objects.bulk_create(
        KycProfile(user=user, institution=user.institution, level=HIGHEST, state=ProfileState.VERIFIED)
        for user in traders.select_related("institution")
    )


def _funds() -> int:
    """Fund what was never funded; how many deposits that took."""
    missing = _missing_funds()
    traders = User.objects.in_bulk(TRADERS, field_name="email")
    assets = Asset.objects.in_bulk(list(FUNDS), field_name="code")
    for email, code in missing:
        deposit(user=traders[email], asset=assets[code], amount=Decimal(FUNDS[code]), trace_id="demo")
    return len(missing)


def _missing_users() -> list[str]:
    emails = [*TRADERS, *STAFF]
    known = set(User.objects.filter(email__in=emails).values_list("email", flat=True))
    return [email for email in emails if email not in known]


def _missing_funds() -> list[tuple[str, str]]:
    """An account is opened by its first deposit."""
    funded = set(Account.objects.filter(user__email__in=TRADERS).values_list("user__email", "asset__code"))
    return [(email, code) for email in TRADERS for code in FUNDS if (email, code) not in funded]
