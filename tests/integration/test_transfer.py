"""What goes out of the back office and comes in: exports by page and command, imports of reference data."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoDbBlocker

from exchange.backoffice import exporting, importing
from exchange.backoffice.columns import plain, safe
from exchange.platform.audit.models import Record
from exchange.platform.members.models import Institution, Role, User
from tests.market import Desk, lasting_desk
from tests.staff import signed_in, staff
from trading.models import Asset, Instrument, Order, Trade

pytestmark = pytest.mark.django_db

EVIL = '=HYPERLINK("http://evil.example","x")'


@pytest.fixture(scope="module")
def desk(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Desk]:
    with lasting_desk(django_db_blocker) as desk:
        alice, bob = desk.user(USDT="100000", BTC="10"), desk.user(USDT="100000", BTC="10")
        desk.trade(alice, "SELL", "0.1", "100")
        desk.trade(bob, "BUY", "0.1", "100")
        desk.place(alice, "BUY", "0.1", "50", client_order_id=EVIL)
        yield desk


@pytest.fixture
def operator(desk: Desk) -> Client:
    return signed_in(staff())


def export(client: Client, model: str, kind: str, query: str = "") -> Any:
    app, name = model.split(".")
    return client.get(reverse("backoffice-export", args=[app, name, kind]) + query)


def table(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode())))


def exported(client: Client, model: str, query: str = "") -> list[dict[str, str]]:
    answer = export(client, model, "csv", query)
    assert answer.status_code == 200
    return table(b"".join(answer.streaming_content))


def test_orders_come_exact_and_whole(operator: Client) -> None:
    rows = exported(operator, "trading.order")
    assert [row["id"] for row in rows] == [
        str(pk) for pk in Order.objects.order_by("-pk").values_list("pk", flat=True)
    ]
    newest = Order.objects.order_by("-pk")[0]
    assert rows[0]["user"] == newest.user.email
    assert rows[0]["instrument"] == newest.instrument.symbol
    assert (rows[0]["price"], rows[0]["quantity"]) == ("50", "0.1")


def test_rows_are_read_piece_by_piece(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "AT_ONCE", 1)
    answer = export(operator, "trading.order", "csv")
    assert answer.streaming
    assert len(list(answer.streaming_content)) >= Order.objects.count()


def test_the_lists_filters_count(operator: Client) -> None:
    assert len(exported(operator, "trading.order", "?status=FILLED")) == 2
    assert exported(operator, "trading.order", "?status=REJECTED") == []
    email = User.objects.filter(role=Role.TRADER).order_by("email")[0].email
    assert {row["user"] for row in exported(operator, "trading.order", f"?q={email}")} == {email}
    assert export(operator, "trading.order", "csv", "?nonsense=1").status_code == 400


def test_formulas_are_text(operator: Client) -> None:
    cells = [row["client_order_id"] for row in exported(operator, "trading.order")]
    assert f"'{EVIL}" in cells and EVIL not in cells
    answer = export(operator, "trading.order", "xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(b"".join(answer.streaming_content))).active
    found = [cell for row in sheet.iter_rows() for cell in row]
    assert f"'{EVIL}" in [cell.value for cell in found]
    assert "f" not in {cell.data_type for cell in found}  # a formula


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "plain", "'quoted", ""])
def test_what_is_made_safe_comes_back(text: str) -> None:
    assert plain(safe(text)) == text
    assert not safe(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_no_secret_leaves(operator: Client) -> None:
    (row, *_others) = exported(operator, "members.user")
    assert "email" in row and "password" not in row


def test_an_institution_exports_its_own_rows_alone(desk: Desk) -> None:
    other = Institution.objects.create(code="other", name="Other")
    stranger = User.objects.create_user("stranger@other.exchange", institution=other)
    trade = Trade.objects.get()
    User.objects.filter(pk=trade.seller_id).update(institution=other)
    client = signed_in(staff(Role.INSTITUTION_ADMIN, other))
    assert {row["user"] for row in exported(client, "trading.order")} == {trade.seller.email}
    (row,) = exported(client, "trading.trade")
    assert row["seller"] == trade.seller.email
    assert row.get("buyer", "") == "" and str(trade.buyer_order_id) not in row.values()
    emails = {row["email"] for row in exported(client, "members.user")}
    assert stranger.email in emails and trade.buyer.email not in emails


def test_who_may_export(desk: Desk) -> None:
    support = signed_in(staff(Role.SUPPORT, desk.institution))
    assert export(support, "trading.order", "csv").status_code == 403
    auditor = signed_in(staff(Role.AUDITOR, desk.institution))
    assert export(auditor, "trading.order", "csv").status_code == 200
    assert export(auditor, "events.outboxevent", "csv").status_code == 403
    assert export(auditor, "trading.nothing", "csv").status_code == 404
    assert export(Client(), "trading.order", "csv").status_code == 302


def test_an_export_is_recorded_without_what_was_searched(operator: Client) -> None:
    export(operator, "trading.order", "csv", "?status=FILLED&q=someone@test.exchange")
    record = Record.objects.filter(action="data.export").latest("id")
    assert record.resource == "trading.order"
    assert json.loads(record.new) == {"format": "csv", "filters": {"status": "FILLED"}, "searched": True}


def test_an_xlsx_has_a_bound(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "MOST_XLSX_ROWS", 2)
    answer = export(operator, "trading.order", "xlsx")
    assert answer.status_code == 302
    assert "at most 2 rows" in operator.get(answer["Location"]).content.decode()


# -- the command


def test_the_command_writes_a_file(desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "orders.csv"
    call_command("export", "trading.order", output=str(target), as_json=True)
    assert len(table(target.read_bytes())) == Order.objects.count()
    assert json.loads(capsys.readouterr().err) == {
        "model": "trading.order",
        "format": "csv",
        "rows": Order.objects.count(),
        "output": str(target),
    }
    assert list(tmp_path.iterdir()) == [target]
    call_command("export", "trading.trade", format="xlsx", output=str(tmp_path / "trades.xlsx"))
    sheet = openpyxl.load_workbook(tmp_path / "trades.xlsx").active
    assert sheet.max_row == 1 + Trade.objects.count()


def test_the_command_cuts_by_time_and_institution(desk: Desk, tmp_path: Path) -> None:
    Institution.objects.create(code="other", name="Other")
    target = tmp_path / "orders.csv"

    def rows(**options: Any) -> int:
        call_command("export", "trading.order", output=str(target), **options)
        return len(table(target.read_bytes()))

    assert rows(since="2999-01-01") == 0
    assert rows(since="2020-01-01", until="2999-01-01T00:00:00Z") == Order.objects.count()
    assert rows(institution="other") == 0
    assert rows(institution=desk.institution.code) == Order.objects.count()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trading.nothing"], "there are: "),
        (["trading.order", "--from", "yesterday"], "give 2026-11-23"),
        (["trading.order", "--institution", "nobody"], "there are: bank"),
        (["trading.asset", "--institution", "bank"], "belongs to no institution"),
        (["trading.asset", "--from", "2026-01-01"], "has no time"),
        (["trading.asset", "-o", "/nowhere/at/all.csv"], "there is no folder"),
    ],
)
def test_the_command_says_what_is_wrong(desk: Desk, arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said) as caught:
        call_command("export", *arguments)
    assert caught.value.returncode == 2


# -- imports


def upload(client: Client, model: str, text: str, name: str = "rows.csv") -> Any:
    app, label = model.split(".")
    file = SimpleUploadedFile(name, text.encode())
    return client.post(reverse("backoffice-import", args=[app, label]), {"file": file})


def confirm(client: Client, model: str, rows: str) -> Any:
    app, label = model.split(".")
    return client.post(reverse("backoffice-import", args=[app, label]), {"rows": rows})


def test_an_import_shows_then_writes(operator: Client) -> None:
    shown = upload(operator, "trading.asset", "code,name,scale\nSOL,Solana,9\nBTC,Bitcoin,8\n")
    assert shown.status_code == 200
    changes = shown.context["outcome"].changes
    assert [(each.number, each.what, each.name) for each in changes] == [
        (2, "new", "SOL"),
        (3, "change", "BTC"),
    ]
    assert changes[1].fields == [("name", "BTC", "Bitcoin")]
    assert not Asset.objects.filter(code="SOL").exists()
    assert confirm(operator, "trading.asset", shown.context["rows"]).status_code == 302
    assert Asset.objects.get(code="SOL").scale == 9
    assert Asset.objects.get(code="BTC").name == "Bitcoin"
    assert {each.resource for each in Record.objects.filter(action__startswith="import.")} == {
        "asset/SOL",
        "asset/BTC",
    }


INSTRUMENT = "symbol,base,quote,tick_size,lot_size,min_quantity,max_quantity,min_notional,collar,group"


def test_one_bad_row_refuses_all(operator: Client) -> None:
    good = "ETH/USDT,ETH,USDT,0.01,0.001,0.001,1000,1,0.05,alpha"
    bad = "ETH/BTC,ETH,BTC,0.0000001,0.001,0.0015,1000,1,2,alpha"
    answer = upload(operator, "trading.instrument", f"{INSTRUMENT}\n{good}\n{bad}\n")
    assert answer.status_code == 400
    ((line, said),) = answer.context["outcome"].errors
    assert line == 3
    for field in ("tick_size", "min_quantity"):
        assert field in said
    confirm(operator, "trading.instrument", answer.context["rows"])
    assert not Instrument.objects.filter(symbol__startswith="ETH").exists()


def test_a_new_instrument_comes_in(operator: Client) -> None:
    text = f"{INSTRUMENT}\nETH/USDT,ETH,USDT,0.01,0.001,0.001,1000,1,0.05,alpha\n"
    shown = upload(operator, "trading.instrument", text)
    assert shown.status_code == 200, shown.context["outcome"]
    assert confirm(operator, "trading.instrument", shown.context["rows"]).status_code == 302
    assert Instrument.objects.get(symbol="ETH/USDT").tick_size == Decimal("0.01")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "first line must name"),
        ("code,name\nSOL\n", "Line 2 has 1 values"),
        ("name,scale\nSolana,9\n", "the first one is needed"),
        ("code,name,scale,password\nSOL,Solana,9,x\n", "password"),
        ("code,name,scale\nBTC,BTC,9\n", "is 8 and cannot change"),
        ("code,name,scale\nSOL,Solana,nine\n", "scale"),
        ("code,name,scale\nSOL,Solana,99\n", "scale"),
        (f"{INSTRUMENT}\nDOG/USDT,DOG,USDT,1,1,1,1,1,0.05,alpha\n", "there is no DOG"),
    ],
)
def test_a_bad_file_says_why(operator: Client, text: str, said: str) -> None:
    model = "trading.instrument" if text.startswith(INSTRUMENT) else "trading.asset"
    answer = upload(operator, model, text)
    assert answer.status_code == 400
    assert said in " ".join(said for _line, said in answer.context["outcome"].errors)
    assert not Asset.objects.filter(code="SOL").exists()


def test_an_xlsx_comes_in(operator: Client) -> None:
    book = openpyxl.Workbook()
    for row in (["code", "name", "scale"], ["SOL", "'=Solana", 9]):
        book.active.append(row)
    body = io.BytesIO()
    book.save(body)
    file = SimpleUploadedFile("rows.xlsx", body.getvalue())
    shown = operator.post(reverse("backoffice-import", args=["trading", "asset"]), {"file": file})
    assert shown.status_code == 200, shown.context["outcome"]
    confirm(operator, "trading.asset", shown.context["rows"])
    assert Asset.objects.get(code="SOL").name == "=Solana"
    broken = SimpleUploadedFile("rows.xlsx", b"no zip")
    assert (
        operator.post(reverse("backoffice-import", args=["trading", "asset"]), {"file": broken}).status_code
        == 400
    )


def test_an_xlsx_that_unpacks_to_much_is_refused(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MOST_UNPACKED", 1000)
    body = io.BytesIO()
    openpyxl.Workbook().save(body)
    with pytest.raises(importing.Unreadable, match="larger unpacked"):
        importing.read("rows.xlsx", body.getvalue())


def test_a_preview_is_of_who_saw_it(operator: Client, desk: Desk) -> None:
    rows = upload(operator, "trading.asset", "code,name,scale\nSOL,Solana,9\n").context["rows"]
    assert confirm(signed_in(staff()), "trading.asset", rows).status_code == 403
    assert confirm(operator, "trading.asset", rows[:-1]).status_code == 400
    assert confirm(operator, "members.institution", rows).status_code == 403


def test_who_may_import(desk: Desk) -> None:
    address = reverse("backoffice-import", args=["trading", "asset"])
    for user in (staff(Role.AUDITOR), staff(Role.INSTITUTION_ADMIN, desk.institution)):
        assert signed_in(user).get(address).status_code == 403


def test_four_eyes_are_not_gone_round(operator: Client) -> None:
    for app, model in (("trading", "feeschedule"), ("risk", "limit")):
        answer = operator.get(reverse("backoffice-import", args=[app, model]))
        assert answer.status_code == 302
    assert operator.get(reverse("backoffice-import", args=["trading", "account"])).status_code == 404
    answer = upload(operator, "members.institution", "code,name,order_rate\nbank,Bank,500\n")
    assert answer.status_code == 400 and "order_rate" in str(answer.context["outcome"].errors)
