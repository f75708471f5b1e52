"""The commands that load the demo and make traders."""

from __future__ import annotations

import json
from decimal import Decimal
from importlib import import_module
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError

from exchange.base.env import env
from exchange.platform.members import authentication, tokens
from exchange.platform.members.demo_mode import is_demo
from exchange.platform.members.models import DemoMark, Institution, Role, User
from matching.models import SymbolGroup
from tests.staff import staff
from trading.ledger.accounts import account_book
from trading.management.commands import demo
from trading.models import Account, Instrument, Posting
from trading.reference.catalog import catalog

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def demo_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "exchange.platform.members.demo_mode.env", env.model_copy(update={"exchange_demo": True})
    )
    account_book.clear_cache()
    catalog.clear_cache()
    authentication.clear_cache()


@pytest.fixture
def few_traders(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo that is loaded faster."""
    monkeypatch.setattr(demo, "TRADERS", demo.TRADERS[:1])


def run(command: str, *arguments: str) -> str:
    out = StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


def create(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        run("create_trader", *arguments, "--institution", "demo", "--json")
    )
    return found


def balances(email: str) -> dict[str, Decimal]:
    rows = Account.objects.filter(user__email=email).values_list("asset__code", "available")
    return dict(rows)


def test_the_demo_loads_and_loading_again_changes_nothing() -> None:
    assert "28 users and 80 deposits added" in run("demo")
    assert run("groups").split() == ["alpha", "beta"]
    groups = {row.symbol: row.group_id for row in Instrument.objects.all()}
    assert groups == {"BTC/USDT": "alpha", "ETH/USDT": "beta", "BTC/TRY": "beta"}
    assert [market.symbol for market in catalog.markets()] == ["BTC/TRY", "BTC/USDT", "ETH/USDT"]
    assert balances("trader20@demo.exchange") == {
        code: Decimal(amount) for code, amount in demo.FUNDS.items()
    }
    operator = User.objects.get(email="operator@demo.exchange")
    assert operator.check_password("demo-pass")
    staff = {user.email: user for user in User.objects.filter(is_staff=True)}
    assert {email: (user.role, user.institution) for email, user in staff.items()} == {
        email: (role, Institution.objects.filter(code=code).first())
        for email, (role, code) in demo.STAFF.items()
    }
    assert not any(user.is_superuser for user in staff.values())

    Instrument.objects.filter(symbol="BTC/USDT").update(min_notional=7)
    postings = Posting.objects.count()
    assert "0 users and 0 deposits added" in run("demo")
    assert Posting.objects.count() == postings
    assert Instrument.objects.get(symbol="BTC/USDT").min_notional == 7


def test_a_demo_that_was_cut_short_is_completed(few_traders: None) -> None:
    run("demo")
    User.objects.filter(email="operator@demo.exchange").delete()
    assert "1 users and 0 deposits added" in run("demo")


def test_no_demo_outside_demo_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "exchange.platform.members.demo_mode.env", env.model_copy(update={"exchange_demo": False})
    )
    with pytest.raises(CommandError, match="EXCHANGE_DEMO") as raised:
        run("demo")
    assert raised.value.returncode == 2
    assert not User.objects.exists()
    assert not SymbolGroup.objects.exists()


def test_an_installation_in_use_becomes_no_demo() -> None:
    """Whatever a shell has set. Money and codes are for the asking where `demo` began alone."""
    bank = Institution.objects.create(code="demo", name="Somebody's bank")
    staff(Role.DEALER, bank, "dealer@bank.example")
    for command in (
        ["demo"],
        ["demo", "--dry-run"],
        ["create_trader", "rich@bank.example", "--institution", "demo", "--fund", "USDT=1000000"],
        ["create_trader", "fast@bank.example", "--institution", "demo", "--order-rate", "500"],
        ["second_factor", "dealer@bank.example", "--show"],
        ["simulate", "--seconds", "1"],
    ):
        with pytest.raises(CommandError, match="demo") as raised:
            run(*command)
        assert raised.value.returncode == 2
    assert User.objects.count() == 1 and not DemoMark.objects.exists()


def test_a_demo_of_before_there_was_a_mark_stays_one(few_traders: None) -> None:
    run("demo")
    migration = import_module("exchange.platform.members.migrations.0007_enrolment_and_demo")
    for email, marked in (("gone@demo.exchange", False), ("operator@demo.exchange", True)):
        DemoMark.objects.all().delete()
        User.objects.filter(role=Role.PLATFORM_ADMIN).exclude(email="second@demo.exchange").update(
            email=email
        )
        migration.mark_demo(apps, None)
        assert is_demo() is marked
    assert "0 users and 0 deposits added" in run("demo")


def test_a_trader_is_funded_and_can_use_its_token_at_once(few_traders: None) -> None:
    run("demo")
    (made,) = create("Me@demo.exchange", "--fund", "USDT=1000000", "--fund", "BTC=0.5", "--order-rate", "500")
    assert made["email"] == "me@demo.exchange"
    assert balances("me@demo.exchange") == {"USDT": Decimal(1000000), "BTC": Decimal("0.5")}
    member = authentication.authenticate(f"Bearer {made['token']}", "orders:write")
    assert (member.user_id, member.order_rate) == (made["user_id"], 500)
    assert User.objects.get(email="me@demo.exchange").check_password(made["password"])


def test_nobody_is_funded_outside_demo_mode(monkeypatch: pytest.MonkeyPatch, few_traders: None) -> None:
    run("demo")
    monkeypatch.setattr(
        "exchange.platform.members.demo_mode.env", env.model_copy(update={"exchange_demo": False})
    )
    with pytest.raises(CommandError, match="adjust") as raised:
        create("rich@demo.exchange", "--fund", "USDT=1000000")
    assert raised.value.returncode == 2
    with pytest.raises(CommandError, match="two people"):
        create("fast@demo.exchange", "--order-rate", "500")
    create("poor@demo.exchange")
    assert balances("poor@demo.exchange") == {}


def test_many_traders_by_a_pattern(few_traders: None) -> None:
    run("demo")
    made = create(
        "load{:04d}@demo.exchange", "--count", "30", "--fund", "USDT=10", "--password", "given pass"
    )
    assert [one["email"] for one in made] == [f"load{n:04d}@demo.exchange" for n in range(1, 31)]
    assert len({tokens.verify(one["token"]).user_id for one in made}) == 30
    assert "password" not in made[0]
    assert balances("load0030@demo.exchange") == {"USDT": Decimal(10)}


def test_an_email_that_is_taken_is_left_alone_and_the_others_are_made(few_traders: None) -> None:
    run("demo")
    create("load2@demo.exchange")
    before = User.objects.get(email="load2@demo.exchange").password
    out = StringIO()
    arguments = ["load{}@demo.exchange", "--count=3", "--institution=demo", "--fund=USDT=10", "--json"]
    with pytest.raises(CommandError, match=r"already a user load2@demo\.exchange") as raised:
        call_command("create_trader", *arguments, stdout=out)
    assert raised.value.returncode == 1
    assert [one["email"] for one in json.loads(out.getvalue())] == [
        "load1@demo.exchange",
        "load3@demo.exchange",
    ]
    assert User.objects.get(email="load2@demo.exchange").password == before
    assert balances("load2@demo.exchange") == {}


WRONG = [
    (["x@demo.exchange", "--institution", "nobody"], "there is: crescent, demo"),
    (["x@demo.exchange", "--institution", "demo", "--fund", "XRP=1"], "BTC, ETH, TRY, USDT"),
    (["x@demo.exchange", "--institution", "demo", "--fund", "BTC"], "must be positive"),
    (["x@demo.exchange", "--institution", "demo", "--fund", "BTC=NaN"], "must be positive"),
    (["x@demo.exchange", "--institution", "demo", "--fund", "BTC=1e400"], "must be positive"),
    (["x@demo.exchange", "--institution", "demo", "--fund", "BTC=0.000000001"], "at most 8 decimal places"),
    (["x@demo.exchange", "--institution", "demo", "--order-rate", "0"], "at least 1"),
    (["x", "--institution", "demo"], "not an e-mail address"),
    (["x{}@demo.exchange", "--institution", "demo"], "--count"),
    (["x@demo.exchange", "--institution", "demo", "--count", "2"], "a pattern"),
    (["x{}{}@demo.exchange", "--institution", "demo", "--count", "2"], "a pattern"),
    (["x{0.__class__}@demo.exchange", "--institution", "demo", "--count", "2"], "a pattern"),
]


def test_a_wrong_argument_is_explained_and_nothing_is_done(few_traders: None) -> None:
    run("demo")
    users, postings = User.objects.count(), Posting.objects.count()
    for arguments, said in WRONG:
        with pytest.raises(CommandError) as raised:
            run("create_trader", *arguments)
        assert raised.value.returncode == 2, arguments
        assert said in str(raised.value)
    assert (User.objects.count(), Posting.objects.count()) == (users, postings)


def test_a_dry_run_does_nothing(few_traders: None) -> None:
    run("demo")
    users = User.objects.count()
    said = run("create_trader", "x{}@demo.exchange", "--count", "5", "--institution", "demo", "--dry-run")
    assert "would create 5 of 5" in said
    assert User.objects.count() == users
