"""The bank's books on a real ledger: trial balances of any moment, closed days, and what came into them late."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import django.db
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from django.core.management import CommandError, call_command
from django.utils import timezone

from exchange.base.database import connect
from exchange.base.env import env
from exchange.base.times import rfc3339
from exchange.platform.audit.models import Record
from exchange.platform.members.models import Institution, User
from tests.market import Desk, open_desk, sql, unguarded
from trading.books import closing, signing
from trading.books import day as days
from trading.ledger.accounts import deposit
from trading.models import Account, Asset, DayTotal, EndOfDay, Transaction

pytestmark = pytest.mark.django_db(transaction=True)

D = Decimal
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
NOON = datetime.combine(YESTERDAY, datetime.min.time(), UTC) + timedelta(hours=12)


@pytest.fixture
def desk(transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """With a folder for the books."""
    monkeypatch.setattr(
        "trading.books.closing.env", env.model_copy(update={"exchange_books_folder": tmp_path})
    )
    with open_desk() as desk:
        yield desk


@pytest.fixture
def traded(desk: Desk) -> tuple[str, str]:
    """Yesterday at noon: alice has 1,000 USDT, bob 5 BTC, and she bought 2 BTC of him at 100."""
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="5")
    desk.trade(bob, "SELL", "2", "100")
    desk.trade(alice, "BUY", "2", "100")
    move_to(NOON)
    return alice, bob


def move_to(moment: datetime, *names: str) -> None:
    """What was posted today (or the transactions `names`) was posted then."""
    with unguarded():
        if names:
            sql(
                "UPDATE trading_transaction SET created_at = %s WHERE id = ANY (%s::uuid[])",
                moment,
                list(names),
            )
        else:
            sql("UPDATE trading_transaction SET created_at = %s", moment)
            sql("UPDATE trading_trade SET executed_at = %s", moment)
            sql("UPDATE trading_order SET created_at = %s", moment)


def run(command: str, *arguments: Any) -> tuple[int, str]:
    """Exit code and standard output; what else it says goes with the output."""
    out, err = StringIO(), StringIO()
    try:
        call_command(command, *map(str, arguments), stdout=out, stderr=err)
    except SystemExit as error:
        return int(error.code or 0), out.getvalue() + _said(err)
    except CommandError as error:
        return error.returncode, out.getvalue() + _said(err) + str(error)
    return 0, out.getvalue()


def _said(err: StringIO) -> str:
    return "".join(line for line in err.getvalue().splitlines(keepends=True) if not line.startswith("…"))


def document(command: str, *arguments: Any, code: int = 0) -> Any:
    found, text = run(command, *arguments, "--json")
    assert found == code, text
    return json.JSONDecoder().raw_decode(text)[0]


def balances(found: Any) -> dict[tuple[str, str], tuple[str, str]]:
    return {(line["asset"], line["kind"]): (line["debit"], line["credit"]) for line in found["lines"]}


# -- trial balance


def test_a_trial_balance_is_true_for_any_moment(desk: Desk, traded: tuple[str, str]) -> None:
    now = document("trial_balance")
    assert now["balanced"] and now["differences"] == []
    assert balances(now) == {
        ("BTC", "CUSTODY"): ("5", "0"),
        ("BTC", "FEES"): ("0", "0.004"),
        ("BTC", "USER"): ("0", "4.996"),
        ("USDT", "CUSTODY"): ("1000", "0"),
        ("USDT", "FEES"): ("0", "0.2"),
        ("USDT", "USER"): ("0", "999.8"),
    }
    assert now["totals"] == [
        {"asset": "BTC", "debit": "5", "credit": "5"},
        {"asset": "USDT", "debit": "1000", "credit": "1000"},
    ]
    trade = [str(pk) for pk in Transaction.objects.filter(kind="TRADE").values_list("pk", flat=True)]
    move_to(NOON + timedelta(hours=1), *trade)
    between = document("trial_balance", "--at", rfc3339(NOON + timedelta(minutes=30)))
    assert balances(between)["BTC", "USER"] == ("0", "5")
    assert ("BTC", "FEES") not in balances(between)
    assert (
        document("trial_balance", "--at", rfc3339(NOON))["lines"] == []
    )  # what is posted at that very moment is not in
    assert balances(document("trial_balance", "--at", rfc3339(NOON + timedelta(milliseconds=1)))) == balances(
        between
    )
    move_to(NOON)
    code, text = run("trial_balance", "--csv")
    rows = list(csv.DictReader(StringIO(text)))
    assert code == 0 and len(rows) == 6
    assert rows[0] == {
        "asset": "BTC", "institution": "bank", "kind": "CUSTODY", "accounts": "1", "postings": "1",
        "debit": "5", "credit": "0",
    }  # fmt: skip
    code, text = run("trial_balance")
    assert code == 0 and "bank CUSTODY (1 accounts)" in text and "in all" in text
    code, text = run("trial_balance", "--at", "2999-01-01")
    assert code == 2 and "still to come" in text
    with pytest.raises(CommandError, match="no time such as"):
        call_command("trial_balance", "--at", "yesterday")


def test_books_that_are_not_in_order_are_told_and_not_signed(
    desk: Desk, traded: tuple[str, str], tmp_path: Path
) -> None:
    with unguarded():
        sql("UPDATE trading_posting SET amount = amount + 1 WHERE amount = 1000")
    code, text = run("trial_balance")
    assert code == 1 and "NOT EQUAL" in text
    assert "bank USER USDT: postings sum to 1000.8, accounts have 999.8" in text
    code, text = run("end_of_day")
    assert code == 1 and "not in order" in text and "postings_balance" in text
    assert not EndOfDay.objects.exists() and list(tmp_path.iterdir()) == []


# -- closing


def test_a_day_is_closed_with_a_report_and_statements(
    desk: Desk, traded: tuple[str, str], tmp_path: Path
) -> None:
    alice, _ = traded
    (would,) = document("end_of_day", "--dry-run")["closed"]
    assert would["report"]["activity"]["trades"] == 1 and would["folder"] is None
    assert not EndOfDay.objects.exists() and list(tmp_path.iterdir()) == []
    for name in (YESTERDAY.isoformat(), f".{YESTERDAY}.partial"):  # what a run left that was killed
        (tmp_path / name).mkdir()
        (tmp_path / name / "rest").write_text("of a run that was killed")

    told = document("end_of_day")
    assert sorted(path.name for path in tmp_path.iterdir()) == [YESTERDAY.isoformat()]
    assert not (tmp_path / YESTERDAY.isoformat() / "rest").exists()
    (closed,) = told["closed"]
    assert closed["day"] == YESTERDAY.isoformat() and told["late"] == []
    folder = tmp_path / YESTERDAY.isoformat()
    key = signing.private_key().public_key()
    report = signing.verify(signing.read((folder / "report.json").read_text()), key)
    assert signing.digest(report) == closed["digest"] == EndOfDay.objects.get().digest
    assert report["totals"][0] == {"asset": "BTC", "debit": "5", "credit": "5"}
    assert report["activity"]["orders"] == 2 and report["activity"]["trades"] == 1
    assert report["activity"]["markets"] == [{"symbol": "BTC/USDT", "trades": 1, "base": "2", "quote": "200"}]
    assert report["activity"]["fees"] == [
        {"institution": "bank", "asset": "BTC", "amount": "0.004"},
        {"institution": "bank", "asset": "USDT", "amount": "0.2"},
    ]
    assert {(each["kind"], each["asset"], each["amount"]) for each in report["activity"]["transactions"]} == {
        ("DEPOSIT", "BTC", "5"), ("DEPOSIT", "USDT", "1000"), ("TRADE", "BTC", "2"), ("TRADE", "USDT", "200"),
    }  # fmt: skip
    assert report["previous"] is None and report["statements"]["files"] == 2
    assert all(check["result"] != "breach" for check in report["checks"])
    rows = list(csv.DictReader((folder / f"statements/bank/{alice}.csv").open()))
    assert [(row["asset"], row["kind"], row["amount"], row["balance"]) for row in rows] == [
        ("BTC", "OPENING", "", "0"),
        ("BTC", "TRADE", "1.996", "1.996"),
        ("BTC", "CLOSING", "", "1.996"),
        ("USDT", "OPENING", "", "0"),
        ("USDT", "DEPOSIT", "1000", "1000"),
        ("USDT", "TRADE", "-200", "800"),
        ("USDT", "CLOSING", "", "800"),
    ]
    assert DayTotal.objects.get(kind="USER", asset__code="USDT").balance == D("999.8")
    assert Record.objects.filter(action="day.closed", resource=f"day/{YESTERDAY}").count() == 1


def test_a_day_is_closed_once_and_stays_so(desk: Desk, traded: tuple[str, str], tmp_path: Path) -> None:
    with connect("exchange test closer") as other:
        other.execute("SELECT pg_advisory_lock(hashtext('end of day'), hashtext(current_database()))")
        code, text = run("end_of_day")
        assert code == 1 and "somebody else" in text and not EndOfDay.objects.exists()
    soon = days.Bounds(YESTERDAY, NOON, datetime.now(UTC) + timedelta(hours=1))
    with connect("exchange test writer") as writer, connect("exchange test closer") as closer:
        closing._check_nothing_under_way(closer, soon)
        writer.execute("BEGIN")
        writer.execute("SELECT pg_current_xact_id()")
        with pytest.raises(closing.Refused, match="still open"):
            closing._check_nothing_under_way(closer, soon)
        writer.execute("ROLLBACK")
    document("end_of_day")
    before = EndOfDay.objects.get().document
    assert document("end_of_day")["closed"] == []
    assert document("end_of_day", "--day", YESTERDAY)["closed"] == []
    assert EndOfDay.objects.get().document == before
    with unguarded():  # as a database that was restored from before the closing
        sql("DELETE FROM trading_daytotal")
        sql("DELETE FROM trading_endofday")
    document("end_of_day")
    (aside,) = tmp_path.glob(f"{YESTERDAY}.before-*")
    assert (aside / "report.json").read_text() == before
    before = EndOfDay.objects.get().document
    assert (tmp_path / YESTERDAY.isoformat() / "report.json").read_text() == before
    for statement in (
        "UPDATE trading_endofday SET digest = ''",
        "DELETE FROM trading_endofday",
        "UPDATE trading_daytotal SET balance = 0",
        "DELETE FROM trading_daytotal",
        "TRUNCATE trading_daytotal",
    ):
        with pytest.raises(django.db.Error, match="append-only"), django.db.connection.cursor() as cursor:
            cursor.execute(statement)


def test_a_day_that_is_not_over_or_not_the_next_is_refused(desk: Desk, traded: tuple[str, str]) -> None:
    today = datetime.now(UTC).date()
    assert document("end_of_day", "--day", today, code=1)["closed"] == []
    assert "is not over" in run("end_of_day", "--day", today)[1]
    document("end_of_day", "--day", YESTERDAY - timedelta(days=2))
    code, text = run("end_of_day", "--day", YESTERDAY)
    assert code == 1 and "does not follow" in text
    code, text = run("end_of_day", "--day", YESTERDAY - timedelta(days=9))
    assert code == 1 and "left out" in text
    told = document("end_of_day")  # all that are over, in order
    assert [each["day"] for each in told["closed"]] == [str(YESTERDAY - timedelta(days=1)), str(YESTERDAY)]
    _, second, third = EndOfDay.objects.order_by("day")
    assert json.loads(third.document)["report"]["previous"] == {
        "day": str(second.day),
        "digest": second.digest,
    }


def test_the_days_of_a_zone_begin_at_its_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    def zone(name: str) -> None:
        monkeypatch.setattr(days, "env", env.model_copy(update={"exchange_day_zone": name}))

    zone("Europe/Istanbul")
    bounds = days.bounds(datetime(2026, 11, 22, tzinfo=UTC).date())
    assert (rfc3339(bounds.since), rfc3339(bounds.until)) == (
        "2026-11-21T21:00:00.000Z",
        "2026-11-22T21:00:00.000Z",
    )
    zone("Europe/Berlin")  # clocks go back: the day has 25 hours
    bounds = days.bounds(datetime(2026, 10, 25, tzinfo=UTC).date())
    assert bounds.until - bounds.since == timedelta(hours=25)
    assert not bounds.over(bounds.until) and bounds.over(bounds.until + days.GRACE)


# -- what came late


def test_what_comes_late_or_before_all_closed_days_is_found(desk: Desk, traded: tuple[str, str]) -> None:
    alice, _ = traded
    document("end_of_day")
    path = closed_report()
    assert document("end_of_day", "--verify", path) == {
        "file": str(path), "day": str(YESTERDAY), "true": True, "findings": [],
    }  # fmt: skip
    late = deposit(user=User.objects.get(pk=alice), asset=desk.assets["USDT"], amount=D(7), trace_id="late")
    assert document("end_of_day")["late"] == []
    move_to(NOON, late)
    told = document("end_of_day", code=1)
    assert any(
        "USER of bank in USDT: closed with 3 postings, 200 out and 1199.8 in; now 4" in x
        for x in told["late"]
    )
    assert any(x.endswith(f"DEPOSIT {late}") for x in told["late"])
    found = document("end_of_day", "--verify", path, code=1)
    assert f"came after the closing: DEPOSIT {late}" in found["findings"]
    code, text = run("verify")
    assert code == 1 and "closed_days" in text and "closing_balances" in text
    early = deposit(user=User.objects.get(pk=alice), asset=desk.assets["BTC"], amount=D(1), trace_id="early")
    move_to(NOON - timedelta(days=30), early)
    told = document("end_of_day", code=1)
    assert any(
        "USER of bank in BTC: ended with 4.996, postings by then sum to 5.996 now" in x for x in told["late"]
    )


def test_late_postings_do_not_keep_the_next_day_open(desk: Desk, traded: tuple[str, str]) -> None:
    alice, _ = traded
    document("end_of_day", "--day", YESTERDAY - timedelta(days=1))
    late = deposit(user=User.objects.get(pk=alice), asset=desk.assets["USDT"], amount=D(7), trace_id="late")
    move_to(NOON - timedelta(days=1), late)
    told = document("end_of_day", code=1)
    assert [each["day"] for each in told["closed"]] == [str(YESTERDAY)]
    report = json.loads(EndOfDay.objects.get(day=YESTERDAY).document)["report"]
    assert any("day " + str(YESTERDAY - timedelta(days=1)) in line for line in report["late"])


# -- checking a report


def closed_report() -> Path:
    return closing.books_folder() / str(YESTERDAY) / "report.json"


def test_a_tampered_report_or_statement_is_found(desk: Desk, traded: tuple[str, str], tmp_path: Path) -> None:
    document("end_of_day")
    whole = closed_report().parent
    statement = f"statements/bank/{traded[0]}.csv"

    def changed(name: str, old: str, new: str) -> Callable[[Path], object]:
        def change(folder: Path) -> None:
            text = (folder / name).read_text()
            assert old in text
            (folder / name).write_text(text.replace(old, new))

        return change

    cases: list[tuple[Callable[[Path], object], str]] = [
        (changed("report.json", '"debit": "1000"', '"debit": "900"'), "the signature does not belong"),
        (changed(statement, "800", "801"), "was changed"),
        (lambda folder: (folder / statement).unlink(), "No such file"),
        (lambda folder: (folder / "statements/other.csv").write_text(""), "was added"),
        (lambda folder: (folder / "statements.sha256").write_text(""), "statements.sha256 was changed"),
        (lambda folder: (folder / "statements.sha256").unlink(), "is missing"),
    ]
    for number, (change, says) in enumerate(cases):
        folder = tmp_path / f"copy{number}"
        shutil.copytree(whole, folder)
        path = folder / "report.json"
        assert document("end_of_day", "--verify", path, "--offline")["true"]
        change(folder)
        for offline in ([], ["--offline"]):
            found = document("end_of_day", "--verify", path, *offline, code=1)
            assert not found["true"] and any(says in line for line in found["findings"]), (says, found)
    key = serialization.load_pem_public_key(run("end_of_day", "--public-key")[1].encode())
    assert signing.fingerprint(key) == document("end_of_day", "--public-key")["fingerprint"]  # type: ignore[arg-type]
    assert run("end_of_day", "--verify", tmp_path / "none.json")[0] == 2
    assert run("end_of_day", "--offline")[0] == 2
    (tmp_path / "none.pem").write_text("no key")
    assert run("end_of_day", "--verify", tmp_path / "x", "--key", tmp_path / "none.pem")[0] == 2


def test_a_report_that_another_key_signed_is_found(
    desk: Desk, traded: tuple[str, str], tmp_path: Path
) -> None:
    document("end_of_day")
    path = closed_report()
    report = json.loads(path.read_text())["report"]
    key = ed25519.Ed25519PrivateKey.generate()
    path.write_text(signing.as_file(signing.sign({**report, "totals": []}, key)))
    assert "algorithm" in document("end_of_day", "--verify", path, code=1)["findings"][0]
    public = tmp_path / "public.pem"
    public.write_text(signing.public_pem(key.public_key()))
    found = document("end_of_day", "--verify", path, "--key", public, code=1)["findings"]
    assert any("closed with another report" in line for line in found)
    assert (
        run("end_of_day", "--verify", path, "--key", public, "--offline")[0] == 0
    )  # the files alone cannot know


def test_amounts_of_36_digits_are_not_rounded(desk: Desk, tmp_path: Path) -> None:
    """Python's decimals keep 28 digits in a sum unless they are told otherwise."""
    coin = Asset.objects.create(code="WEI", name="Wei", scale=18)
    user = User.objects.get(pk=desk.user())
    deposit(user=user, asset=coin, amount=D("0.000000000000000001"), trace_id="one")
    whole = "123456789012345678.123456789012345677"
    with unguarded():
        for kind, amount in (("USER", whole), ("CUSTODY", f"-{whole}")):
            account = Account.objects.get(kind=kind, asset=coin).pk
            sql("UPDATE trading_account SET available = %s WHERE id = %s", D(amount), account)
            sql("UPDATE trading_posting SET amount = %s WHERE account_id = %s", D(amount), account)
    move_to(NOON)
    now = document("trial_balance")
    assert balances(now)["WEI", "USER"] == ("0", whole) and balances(now)["WEI", "CUSTODY"] == (whole, "0")
    assert now["totals"] == [{"asset": "WEI", "debit": whole, "credit": whole}] and now["differences"] == []
    document("end_of_day")
    text = (tmp_path / f"{YESTERDAY}/statements/bank/{user.pk}.csv").read_text()
    assert f"CLOSING,,,{whole}\n" in text
    (proof,) = document("proof_of_solvency", "--dry-run")["proofs"]
    assert (proof["sum"], proof["kept_in_custody"]) == (whole.replace(".", ""), whole)


def test_the_books_of_two_institutions_are_kept_apart(
    desk: Desk, traded: tuple[str, str], tmp_path: Path
) -> None:
    other = Institution.objects.create(code="other", name="Other")
    user = User.objects.create_user("o@other.exchange", institution=other)
    deposit(user=user, asset=desk.assets["BTC"], amount=D(3), trace_id="other")
    move_to(NOON)
    document("end_of_day")
    lines = json.loads(EndOfDay.objects.get().document)["report"]["trial_balance"]
    assert {(x["institution"], x["credit"]) for x in lines if x["kind"] == "USER" and x["asset"] == "BTC"} == {
        ("bank", "4.996"), ("other", "3"),
    }  # fmt: skip
    assert (tmp_path / f"{YESTERDAY}/statements/other/{user.pk}.csv").is_file()
    assert timezone.now() > EndOfDay.objects.get().closed_at
