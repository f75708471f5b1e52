"""Deposits and withdrawals as their users ask for them over REST, and as operators see and decide them in the admin."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoDbBlocker

from exchange.base.env import env
from exchange.platform.members import tokens
from exchange.platform.members.models import Institution, Role, User
from tests.market import Desk, lasting_desk
from tests.staff import signed_in, staff
from trading.api import payments
from trading.models import Deposit, Withdrawal
from trading.payments import decisions

_names = itertools.count(1)
IBAN = "TR33 0006 1005 1978 6457 8413 26"


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Desk]:
    """In place of the one that rolls back: all tests here share what is committed."""
    with lasting_desk(django_db_blocker) as desk:
        yield desk


@pytest.fixture(scope="module")
def desk(db: Desk) -> Desk:
    return db


class Caller:
    """One user with their token."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        User.objects.filter(pk=user_id).update(order_rate=1000)
        self.headers = {"HTTP_AUTHORIZATION": f"Bearer {tokens.access(User.objects.get(pk=user_id))}"}

    def send(self, method: str, path: str, body: Any = None) -> HttpResponse:
        more = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(Client(), method)(f"/api/v1/{path}", **more, **self.headers)

    def get(self, path: str) -> Any:
        answer = self.send("get", path)
        assert answer.status_code == 200, answer.content
        return answer.json()  # type: ignore[attr-defined]

    def withdraw(self, **changed: Any) -> HttpResponse:
        body = {"asset": "USDT", "amount": "5", "client_reference": f"w{next(_names)}", "destination": IBAN}
        return self.send("post", "withdrawals", {k: v for k, v in (body | changed).items() if v is not None})

    def deposit(self, **changed: Any) -> HttpResponse:
        body = {"asset": "USDT", "amount": "5", "client_reference": f"d{next(_names)}"}
        return self.send("post", "deposits", body | changed)


@pytest.fixture
def caller(desk: Desk) -> Caller:
    return Caller(desk.user(USDT="100"))


def problem(answer: Any, status: int, code: str) -> Any:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
    return answer.json()


def field(answer: Any) -> tuple[str, str]:
    (error,) = problem(answer, 400, "invalid_request")["errors"]
    return error["field"], error["code"]


def test_a_withdrawal_is_asked_for_shown_and_cancelled(desk: Desk, caller: Caller) -> None:
    answer = caller.withdraw(amount="60.50", client_reference="rent")
    assert answer.status_code == 201, answer.content
    assert "RateLimit" in answer
    made = answer.json()  # type: ignore[attr-defined]
    shown = {"asset": "USDT", "amount": "60.5", "held": "60.5", "status": "REQUESTED", "destination": IBAN}
    assert made | shown == made
    assert desk.balance(caller.user_id, "USDT") == (Decimal("39.5"), Decimal("60.5"))
    again = caller.withdraw(amount="60.5", client_reference="rent")
    assert (again.status_code, again.json()["withdrawal_id"]) == (200, made["withdrawal_id"])  # type: ignore[attr-defined]
    path = f"withdrawals/{made['withdrawal_id']}"
    assert caller.get(path) == caller.get("withdrawals")["items"][0] == made
    done = caller.send("delete", path).json()  # type: ignore[attr-defined]
    assert (done["status"], done["held"]) == ("CANCELLED", "0")
    assert caller.send("delete", path).status_code == 200
    assert desk.balance(caller.user_id, "USDT") == (Decimal(100), Decimal(0))


def test_a_deposit_is_asked_for_and_cancelled(desk: Desk, caller: Caller) -> None:
    made = caller.deposit(source="my other bank").json()  # type: ignore[attr-defined]
    assert made | {"status": "REQUESTED", "source": "my other bank", "transaction_id": None} == made
    path = f"deposits/{made['deposit_id']}"
    assert caller.get(path) == made
    assert caller.send("delete", path).json()["status"] == "CANCELLED"  # type: ignore[attr-defined]
    assert desk.balance(caller.user_id, "USDT") == (Decimal(100), Decimal(0))


def test_lists_come_in_pages_and_by_what_is_asked(caller: Caller) -> None:
    ids = [caller.withdraw(amount="1").json()["withdrawal_id"] for _ in range(5)]  # type: ignore[attr-defined]
    caller.send("delete", f"withdrawals/{ids[0]}")
    seen, cursor = [], ""
    while True:
        page = caller.get(f"withdrawals?limit=2{cursor}")
        seen += [each["withdrawal_id"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]
    assert len(caller.get("withdrawals?status=REQUESTED&asset=USDT")["items"]) == 4
    assert [each["withdrawal_id"] for each in caller.get("withdrawals?status=CANCELLED")["items"]] == ids[:1]
    assert caller.get("withdrawals?asset=BTC")["items"] == []
    problem(caller.send("get", "withdrawals?status=GONE"), 400, "invalid_request")
    problem(caller.send("get", "withdrawals?stat=GONE"), 400, "invalid_request")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"asset": "DOGE"}, ("asset", "unknown_asset")),
        ({"amount": "0.0000001"}, ("amount", "scale")),
        ({"amount": "0"}, ("amount", "too_small")),
        ({"amount": "-1"}, ("amount", "invalid")),
        ({"amount": "1e3"}, ("amount", "invalid")),
        ({"amount": 5}, ("amount", "invalid")),
        ({"amount": "1" * 16}, ("amount", "invalid")),
        ({"destination": ""}, ("destination", "invalid")),
        ({"destination": "  "}, ("destination", "missing")),
        ({"destination": None}, ("destination", "missing")),
        ({"destination": "a\0b"}, ("destination", "invalid")),
        ({"client_reference": "x" * 101}, ("client_reference", "invalid")),
        ({"memo": "x"}, ("memo", "unknown")),
    ],
)
def test_what_is_wrong_is_told_by_field(desk: Desk, caller: Caller, changed: Any, error: Any) -> None:
    assert field(caller.withdraw(**changed)) == error
    assert desk.balance(caller.user_id, "USDT") == (Decimal(100), Decimal(0))


def test_what_cannot_be_is_told_by_code(desk: Desk, caller: Caller) -> None:
    problem(caller.withdraw(amount="100.01"), 422, "insufficient_funds")
    problem(caller.withdraw(amount="1001"), 422, "kyc_limit")
    caller.withdraw(client_reference="twice")
    problem(caller.withdraw(client_reference="twice", amount="6"), 409, "client_reference_conflict")
    asked = Withdrawal.objects.get(client_reference="twice")
    decisions.approve(asked.pk, by=staff(Role.INSTITUTION_ADMIN, desk.institution), trace_id="t")
    problem(caller.send("delete", f"withdrawals/{asked.pk}"), 409, "payment_not_open")
    assert caller.get(f"withdrawals/{asked.pk}")["status"] == "APPROVED"


def test_nobody_sees_or_cancels_what_is_anothers(desk: Desk, caller: Caller) -> None:
    made = caller.withdraw().json()["withdrawal_id"]  # type: ignore[attr-defined]
    other = Caller(desk.user(USDT="1"))
    for method in ("get", "delete"):
        problem(other.send(method, f"withdrawals/{made}"), 404, "withdrawal_not_found")
    problem(other.send("get", "withdrawals/nothing"), 404, "withdrawal_not_found")
    assert other.get("withdrawals")["items"] == []
    assert Withdrawal.objects.get(pk=made).state == "REQUESTED"


def test_who_may_not_is_told_so(desk: Desk, caller: Caller) -> None:
    operator = Caller(str(staff(Role.DEALER, desk.institution).pk))
    problem(operator.withdraw(), 403, "forbidden")
    caller.headers = {}
    problem(caller.withdraw(), 401, "not_authenticated")


def test_the_rate_of_orders_counts_payments_too(caller: Caller) -> None:
    User.objects.filter(pk=caller.user_id).update(order_rate=1)
    answers = [caller.withdraw(amount="1").status_code for _ in range(6)]
    assert 429 in answers


def test_with_a_wallet_of_the_banks_own_it_is_elsewhere(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payments, "env", env.model_copy(update={"wallet": "http"}))
    for method, path in (
        ("get", "withdrawals"),
        ("get", "deposits"),
        ("post", "withdrawals"),
        ("post", "deposits"),
    ):
        problem(caller.send(method, path, {} if method == "post" else None), 501, "payments_elsewhere")


def test_the_level_is_shown(desk: Desk, caller: Caller) -> None:
    found = caller.get("kyc")
    assert found | {"level": 1, "status": "UNVERIFIED", "may_trade": True, "documents": []} == found
    assert (found["daily_withdrawal"], found["currency"]) == ("1000", "USDT")


# The admin


def address(row: Any, verb: str = "") -> str:
    name = f"admin:trading_{row._meta.model_name}_{'do' if verb else 'change'}"
    return reverse(name, args=[row.pk, verb] if verb else [row.pk])


def press(client: Client, row: Any, verb: str, **given: str) -> Any:
    answer = client.post(address(row, verb), {f"{verb}-{name}": text for name, text in given.items()})
    row.refresh_from_db()
    return answer


@pytest.fixture
def admin(desk: Desk) -> Client:
    return signed_in(staff(Role.INSTITUTION_ADMIN, desk.institution))


def test_the_queue_and_its_buttons(desk: Desk, admin: Client, caller: Caller) -> None:
    made = caller.withdraw(amount="7").json()["withdrawal_id"]  # type: ignore[attr-defined]
    row = Withdrawal.objects.get(pk=made)
    listed = admin.get(reverse("admin:trading_withdrawal_changelist")).content.decode()
    assert str(row.pk) in listed
    page = admin.get(address(row)).content.decode()
    assert IBAN in page
    assert address(row, "approve") in page
    assert address(row, "send") not in page
    press(admin, row, "complete")
    assert row.state == "REQUESTED", "a button that the page does not have"
    press(admin, row, "approve")
    press(admin, row, "send")
    assert row.state == "APPROVED", "without its reference"
    press(admin, row, "send", reference="SWIFT-9")
    press(admin, row, "complete")
    assert (row.state, row.reference) == ("COMPLETED", "SWIFT-9")
    assert "do-" not in admin.get(address(row)).content.decode()
    assert desk.balance(caller.user_id, "USDT") == (Decimal(93), Decimal(0))
    came = Deposit.objects.get(pk=caller.deposit(amount="3").json()["deposit_id"])  # type: ignore[attr-defined]
    press(admin, came, "confirm", reference="STATEMENT-1")
    assert desk.balance(caller.user_id, "USDT") == (Decimal(96), Decimal(0))


def test_rows_are_not_changed_past_the_buttons(admin: Client, caller: Caller) -> None:
    row = Withdrawal.objects.get(pk=caller.withdraw().json()["withdrawal_id"])  # type: ignore[attr-defined]
    assert admin.post(address(row), {"state": "COMPLETED"}).status_code == 403
    assert admin.get(address(row, "approve")).status_code == 405
    assert (
        admin.post(reverse("admin:trading_withdrawal_delete", args=[row.pk]), {"post": "yes"}).status_code
        == 403
    )
    row.refresh_from_db()
    assert row.state == "REQUESTED"


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.SUPPORT])
def test_who_only_looks_has_no_buttons(desk: Desk, caller: Caller, role: str) -> None:
    row = Withdrawal.objects.get(pk=caller.withdraw().json()["withdrawal_id"])  # type: ignore[attr-defined]
    client = signed_in(staff(role, desk.institution))
    page = client.get(address(row))
    assert page.status_code == 200
    assert address(row, "approve") not in page.content.decode()
    press(client, row, "approve")
    assert row.state == "REQUESTED"


def test_another_institutions_payments_are_not_there(caller: Caller) -> None:
    row = Withdrawal.objects.get(pk=caller.withdraw().json()["withdrawal_id"])  # type: ignore[attr-defined]
    bank, _ = Institution.objects.get_or_create(code="rival", defaults={"name": "Rival"})
    client = signed_in(staff(Role.INSTITUTION_ADMIN, bank))
    listed = client.get(reverse("admin:trading_withdrawal_changelist") + "?state=all").content.decode()
    assert str(row.pk) not in listed
    assert IBAN not in client.get(address(row), follow=True).content.decode()
    assert press(client, row, "approve").status_code == 404
    assert row.state == "REQUESTED"


def test_a_payment_is_found(admin: Client, caller: Caller) -> None:
    row = Withdrawal.objects.get(pk=caller.withdraw().json()["withdrawal_id"])  # type: ignore[attr-defined]
    listed = reverse("admin:trading_withdrawal_changelist")

    def found(text: str) -> bool:
        answer = admin.get(listed, {"q": text})
        assert answer.status_code == 200
        return str(row.pk) in answer.content.decode()

    assert found(str(row.pk))
    assert found(row.user.email)
    assert found(row.client_reference)
    assert not found("nothing of this name")
    assert not found(IBAN)
