"""`manage.py reconcile`: a real ledger against statement files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import DjangoDbBlocker

from exchange.platform.members.models import Institution, User
from tests.market import Desk, lasting_desk, sql, unguarded
from trading.books.bank_statement import name
from trading.ledger.accounts import deposit
from trading.models import Account, Asset, Deposit

DATA = Path(__file__).parents[1] / "data"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
D = Decimal


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Desk]:
    with lasting_desk(django_db_blocker) as desk:
        yield desk


@pytest.fixture(scope="module")
def booked(db: Desk) -> dict[str, str]:
    """TRY deposits of a user, by their amount: the ledger transaction's id."""
    lira = Asset.objects.create(code="TRY", name="Turkish lira", scale=8)
    user = User.objects.get(pk=db.user())
    ids = {}
    for amount in ("1500.50", "40", "40", "300.25"):
        made = deposit(user=user, asset=lira, amount=D(amount), trace_id="test")
        ids[amount if amount not in ids else f"{amount} again"] = made
    outside = deposit(user=user, asset=lira, amount=D(7), trace_id="test")
    with unguarded():
        sql("UPDATE trading_transaction SET created_at = %s", NOON)
        sql(
            "UPDATE trading_transaction SET created_at = %s WHERE id = %s", NOON - timedelta(days=10), outside
        )
    account = Account.objects.get(user=user, asset=lira)
    with unguarded():
        Deposit.objects.create(
            user=user, asset=lira, amount=D("300.25"), account=account, client_reference="rent", party="sealed",
            reference="FT26-300", state="CONFIRMED", transaction_id=ids["300.25"], closed_at=NOON,
            decided_by=User.objects.create_user("staff@test.exchange", institution=db.institution),
        )  # fmt: skip
    Deposit.objects.create(
        user=user, asset=lira, amount=D(12), account=account, client_reference="salary-7", party="sealed"
    )
    return ids


def run(path: Path, *arguments: str, code: int = 0) -> Any:
    out = StringIO()
    found = 0
    given = [str(path), "--institution", "bank", "--asset", "TRY", "--json", *arguments]
    try:
        call_command("reconcile", *given, stdout=out, stderr=StringIO())
    except SystemExit as error:
        found = int(error.code or 0)
    assert found == code, out.getvalue()
    return json.loads(out.getvalue())


def refused(*arguments: str) -> str:
    with pytest.raises(CommandError) as raised:
        call_command("reconcile", *arguments, stdout=StringIO(), stderr=StringIO())
    assert raised.value.returncode == 2
    return str(raised.value)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["date,amount,reference,text", *lines]) + "\n")
    return path


def test_a_statement_that_agrees(booked: dict[str, str], tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.csv",
        f"2026-11-22,1500.50,{booked['1500.50']},",
        "2026-11-23,300.25,,payment FT26-300 of a customer",
        "2026-11-22,40,unknown-1,",
        "2026-11-22,40,unknown-2,",
    )
    told = run(path)
    assert told["clean"] and (told["matched_by_reference"], told["matched_by_amount"]) == (2, 2)
    assert (told["from"], told["to"], told["ledger_total"]) == ("2026-11-22", "2026-11-23", "1880.75")
    assert told["ledger_balance"] == "1887.75" and told["findings"] == []


def test_what_differs_is_told(booked: dict[str, str], tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.csv",
        f"2026-11-22,1500.05,{booked['1500.50']},",
        "2026-11-22,300.25,FT26-300,",
        "2026-11-22,300.25,FT26-300,",
        "2026-11-22,12,salary-7,",
        "2026-11-22,40,,",
    )
    told = run(path, code=1)
    kinds = [(each["kind"], each["where"], each["booking"]) for each in told["findings"]]
    assert kinds[:3] == [
        ("amount differs", "line 2", booked["1500.50"]),
        ("duplicate", "line 4", booked["300.25"]),
        ("extra", "line 5", ""),
    ]
    assert kinds[3][0] == "missing" and kinds[3][2] in (booked["40"], booked["40 again"])
    assert "deposit " in told["findings"][2]["detail"] and "is REQUESTED" in told["findings"][2]["detail"]
    assert "the ledger has 1500.5" in told["findings"][0]["detail"]
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command(
            "reconcile", str(path), "--institution", "bank", "--asset", "TRY", stdout=out, stderr=StringIO()
        )
    assert "4 differ" in out.getvalue() and "amount differs" in out.getvalue()


def test_camt053_against_the_ledger(booked: dict[str, str], tmp_path: Path) -> None:
    text = (DATA / "camt053_v02.xml").read_text()
    text = text.replace("0193518a-2b00-7000-8000-000000000100", booked["1500.50"]).replace(
        "PAYOUT-77", "FT26-300"
    )
    path = tmp_path / "statement.xml"
    path.write_text(text)
    told = run(path, code=1)
    assert told["matched_by_reference"] == 2
    assert told["statements"][0] == {
        "account": "TR330006100519786457841326", "lines": 3, "pending": 1, "opening": "1000", "total": "1550.75",
        "closing": "2550.75", "adds_up": True,
    }  # fmt: skip
    assert sorted(each["kind"] for each in told["findings"]) == ["extra", "missing", "missing"]
    path.write_text(text.replace(">2550.75<", ">2550.76<"))
    told = run(path, code=1)
    assert not told["statements"][0]["adds_up"]


def test_only_the_days_that_are_asked_for(booked: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", "2026-11-12,7,,", "2026-11-22,1500.50,,")
    assert run(path, "--to", "2026-11-12")["matched_by_amount"] == 1
    told = run(path, "--from", "2026-11-12", "--to", "2026-11-22", code=1)
    assert [each["kind"] for each in told["findings"]] == ["missing"] * 3
    assert run(write(tmp_path / "e.csv"), "--from", "2026-01-01", "--to", "2026-01-31")["clean"]


def test_other_institutions_are_not_seen(booked: dict[str, str], tmp_path: Path) -> None:
    Institution.objects.get_or_create(code="other", defaults={"name": "Other"})
    path = write(tmp_path / "s.csv", f"2026-11-22,1500.50,{booked['1500.50']},")
    told = run(path, "--institution", "other", code=1)
    assert [each["kind"] for each in told["findings"]] == ["extra"] and told["ledger_total"] == "0"
    assert booked["1500.50"] not in json.dumps({**told, "findings": []})


def test_what_cannot_be_compared_is_told(booked: dict[str, str], tmp_path: Path) -> None:
    where = ("--institution", "bank", "--asset", "TRY")
    path = write(tmp_path / "s.csv", "2026-11-22,many,,")
    assert "line 2: amount 'many'" in refused(str(path), *where)
    assert "No such file" in refused(str(tmp_path / "none.csv"), *where)
    assert "there is: bank" in refused(str(path), "--institution", "nobody", "--asset", "TRY")
    assert "there is: BTC" in refused(str(path), "--institution", "bank", "--asset", "XXX")
    assert "--days" in refused(str(path), *where, "--days", "-1")
    assert "--delimiter" in refused(str(path), *where, "--decimal-comma")
    assert "no lines" in refused(str(write(tmp_path / "e.csv")), *where)
    assert "no statement of account TR9 in TRY" in refused(
        str(DATA / "camt053_v02.xml"), *where, "--account", "TR9"
    )
    two = tmp_path / "two.xml"
    text = (DATA / "camt053_v08.xml").read_text()
    two.write_text(text.replace('"USD"', '"TRY"').replace(">USD<", ">TRY<"))
    assert "say which with --account: TR 3300" in refused(str(two), *where)
    assert name("a-b_1") == "AB1"
