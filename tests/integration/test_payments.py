"""Deposits and withdrawals on a real database: what is asked for is held, decided by others, booked once, and no race,
crash or clever statement makes money of it."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import django.db
import psycopg
import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoDbBlocker

from exchange.base.ids import uuid7
from exchange.platform.approvals import requests as approvals
from exchange.platform.approvals.models import Approval
from exchange.platform.audit.models import Record
from exchange.platform.events import event, exactly_once, schema
from exchange.platform.events.models import OutboxEvent
from exchange.platform.kyc import decisions as kyc
from exchange.platform.kyc import level_changes
from exchange.platform.kyc.models import KycLevel
from exchange.platform.members import personal_data
from exchange.platform.members.models import Institution, Role, User
from exchange.platform.notifications import handlers
from exchange.platform.notifications.models import Notification
from risk.pretrade import kill_switch
from tests.market import PATIENCE, Desk, lasting_desk, sql
from tests.staff import staff
from trading.models import Deposit, Posting, Withdrawal
from trading.models.payments import OPEN_WITHDRAWALS, WITHDRAWAL_STEPS
from trading.payments import booking, decisions, requests, review
from trading.payments.refusal import Missing, Refused
from trading.payments.requests import Wanted

_names = itertools.count(1)
IBAN = "TR33 0006 1005 1978 6457 8413 26"
TRACE = "trace-payments"


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Desk]:
    """In place of the one that rolls back: all tests here share what is committed."""
    with lasting_desk(django_db_blocker) as desk:
        yield desk


@pytest.fixture(scope="module")
def desk(db: Desk) -> Desk:
    return db


@pytest.fixture(scope="module")
def admin(desk: Desk) -> User:
    return staff(Role.INSTITUTION_ADMIN, desk.institution)


@pytest.fixture(scope="module")
def second(desk: Desk) -> User:
    return staff(Role.INSTITUTION_ADMIN, desk.institution)


def wanted(desk: Desk, user: str, amount: str, asset: str = "USDT", **more: Any) -> Wanted:
    given = {"party": IBAN, "client_reference": f"payment-{next(_names)}"} | more
    return Wanted(user, desk.assets[asset], Decimal(amount), **given)


def withdraw(desk: Desk, user: str, amount: str, asset: str = "USDT", **more: Any) -> Withdrawal:
    made, new = requests.withdraw(wanted(desk, user, amount, asset, **more), trace_id=TRACE)
    assert new
    return made


def ask_deposit(desk: Desk, user: str, amount: str, asset: str = "USDT", **more: Any) -> Deposit:
    made, new = requests.deposit(wanted(desk, user, amount, asset, **more), trace_id=TRACE)
    assert new
    return made


def refused(code: str, do: Callable[[], Any]) -> str:
    with pytest.raises(Refused) as caught:
        do()
    assert caught.value.code == code, caught.value.detail
    return caught.value.detail


def money(available: str, held: str) -> tuple[Decimal, Decimal]:
    return Decimal(available), Decimal(held)


def events(user: str, event_type: str) -> list[dict[str, Any]]:
    """Payloads, oldest first; each must be as its schema has it."""
    found = []
    for row in OutboxEvent.objects.filter(key=user).order_by("id"):
        envelope = json.loads(row.message)
        schema.check(row.topic, envelope)
        if envelope["event_type"] == event_type:
            found.append(envelope["payload"])
    return found


def test_a_withdrawal_from_request_to_end(desk: Desk, admin: User) -> None:
    user = desk.user(USDT="1000")
    asked = withdraw(desk, user, "250.5")
    assert desk.balance(user, "USDT") == money("749.5", "250.5")
    custody = desk.house("CUSTODY", "USDT")[0]
    decisions.approve(asked.pk, by=admin, trace_id=TRACE)
    decisions.send(asked.pk, by=admin, reference="SWIFT-1", trace_id=TRACE)
    assert desk.balance(user, "USDT") == money("749.5", "250.5")
    done = decisions.complete(asked.pk, by=admin, trace_id=TRACE)
    assert desk.balance(user, "USDT") == money("749.5", "0")
    assert desk.house("CUSTODY", "USDT")[0] == custody + Decimal("250.5")
    assert Record.objects.filter(resource=f"withdrawal/{asked.pk}", actor=str(admin.pk)).count() == 3
    row = Withdrawal.objects.get(pk=asked.pk)
    assert personal_data.unseal(user, row.party, row.place) == IBAN and IBAN not in row.party
    assert (row.state, row.held, row.reference) == ("COMPLETED", 0, "SWIFT-1")
    assert row.approved_by == row.decided_by == admin
    booked = Posting.objects.filter(transaction_id=str(done.transaction_id)).values_list("amount", flat=True)
    assert sorted(booked) == [Decimal("-250.5"), Decimal("250.5")]
    told = events(user, "WITHDRAWAL_STATUS_CHANGED")
    assert [each["status"] for each in told] == ["REQUESTED", "APPROVED", "SENT", "COMPLETED"]
    assert told[-1] | {"previous": "SENT", "amount": "250.5"} == told[-1]
    assert told[-1]["transaction_id"] == str(done.transaction_id)


def test_a_deposit_is_booked_when_it_is_confirmed(desk: Desk, admin: User) -> None:
    user = desk.user(USDT="1")
    asked = ask_deposit(desk, user, "40")
    assert desk.balance(user, "USDT") == money("1", "0")
    decisions.confirm(asked.pk, by=admin, reference="STATEMENT-7", trace_id=TRACE)
    assert desk.balance(user, "USDT") == money("41", "0")
    assert [each["amount"] for each in events(user, "DEPOSITED")] == ["1.000000", "40"]
    refused("payment_not_open", lambda: decisions.confirm(asked.pk, by=admin, trace_id=TRACE))
    assert desk.balance(user, "USDT") == money("41", "0")


def test_a_request_that_comes_again_is_the_same_payment(desk: Desk) -> None:
    user = desk.user(USDT="1000")
    asked = wanted(desk, user, "100")
    first, _ = requests.withdraw(asked, trace_id=TRACE)
    again, new = requests.withdraw(asked, trace_id=TRACE)
    assert (again.pk, new) == (first.pk, False)
    for other in (asked._replace(amount=Decimal(101)), asked._replace(party="elsewhere")):
        refused("client_reference_conflict", partial(requests.withdraw, other, trace_id=TRACE))
    assert desk.balance(user, "USDT") == money("900", "100")


def test_what_is_not_there_cannot_be_withdrawn(desk: Desk) -> None:
    user = desk.user(USDT="10")
    says = refused("insufficient_funds", lambda: withdraw(desk, user, "10.000001"))
    assert "10 USDT" in says
    refused("insufficient_funds", lambda: withdraw(desk, desk.user(), "1"))
    withdraw(desk, user, "10")
    refused("insufficient_funds", lambda: withdraw(desk, user, "0.000001"))
    assert desk.balance(user, "USDT") == money("0", "10")


def test_orders_and_withdrawals_share_the_same_funds(desk: Desk) -> None:
    user = desk.user(USDT="100")
    desk.place(user, "BUY", "1", "60")
    refused("insufficient_funds", lambda: withdraw(desk, user, "41"))
    withdraw(desk, user, "40")
    accepted = desk.accept(desk.draft(user, "BUY", "1", "1"))
    assert [each.reason for each in accepted.rejected] == ["INSUFFICIENT_FUNDS"]
    assert desk.balance(user, "USDT") == money("0", "100")


@pytest.mark.parametrize("end", ["cancel", "reject", "reject after approval", "fail"])
def test_what_is_not_paid_is_released(desk: Desk, admin: User, end: str) -> None:
    user = desk.user(USDT="100")
    asked = withdraw(desk, user, "60").pk
    if end in ("reject after approval", "fail"):
        decisions.approve(asked, by=admin, trace_id=TRACE)
    if end == "fail":
        decisions.send(asked, by=admin, reference="S", trace_id=TRACE)
        decisions.fail(asked, by=admin, reason="the account is closed", trace_id=TRACE)
    elif end == "cancel":
        requests.cancel(Withdrawal, asked, user, trace_id=TRACE)
        requests.cancel(Withdrawal, asked, user, trace_id=TRACE)  # again: it is so already
    else:
        refused(
            "reason_missing",
            lambda: decisions.reject(Withdrawal, asked, by=admin, reason=" ", trace_id=TRACE),
        )
        decisions.reject(Withdrawal, asked, by=admin, reason="unknown bank", trace_id=TRACE)
    assert desk.balance(user, "USDT") == money("100", "0")
    assert not sql(
        "SELECT 1 FROM trading_transaction WHERE id IN (SELECT transaction_id FROM trading_withdrawal WHERE id = %s)",
        asked,
    )
    refused("payment_not_open", lambda: decisions.complete(asked, by=admin, trace_id=TRACE))


def test_who_may_decide(desk: Desk, admin: User) -> None:
    owner = staff(Role.INSTITUTION_ADMIN, desk.institution)
    user = desk.user(USDT="100")
    asked = withdraw(desk, user, "10").pk
    stranger = staff(Role.INSTITUTION_ADMIN, Institution.objects.create(code="elsewhere", name="Elsewhere"))
    with pytest.raises(Missing):
        decisions.approve(asked, by=stranger, trace_id=TRACE)
    for role in (Role.AUDITOR, Role.SUPPORT, Role.COMPLIANCE):
        refused(
            "forbidden",
            partial(decisions.approve, asked, by=staff(role, desk.institution), trace_id=TRACE),
        )
    refused(
        "forbidden", lambda: decisions.approve(asked, by=User.objects.get(pk=desk.user()), trace_id=TRACE)
    )
    own = ask_deposit(desk, str(owner.pk), "10").pk
    refused("same_person", lambda: decisions.confirm(own, by=owner, trace_id=TRACE))
    decisions.confirm(own, by=admin, trace_id=TRACE)


def approval_of(payment: Deposit | Withdrawal) -> Approval:
    return Approval.objects.get(subject=decisions.subject(payment), state="PENDING")


@pytest.fixture
def rich(desk: Desk, admin: User) -> str:
    """May do anything, and has much."""
    user = desk.user(USDT="1000000")
    kyc.set_level(
        User.objects.get(pk=user), level=3, state="VERIFIED", reason="seen", by=officer(desk), trace_id=TRACE
    )
    return user


def officer(desk: Desk) -> User:
    return staff(Role.COMPLIANCE, desk.institution)


def test_much_money_takes_a_second_person(desk: Desk, admin: User, second: User, rich: str) -> None:
    asked = withdraw(desk, rich, "50000.000001")
    assert asked.second_person
    decisions.approve(asked.pk, by=admin, reason="a house", trace_id=TRACE)
    assert Withdrawal.objects.get(pk=asked.pk).state == "REQUESTED"
    refused("approval_waits", lambda: decisions.approve(asked.pk, by=second, reason="too", trace_id=TRACE))
    request = approval_of(asked)
    with pytest.raises(approvals.SamePerson):
        approvals.approve(request.pk, by=admin, reason="mine")
    refused("payment_not_open", lambda: decisions.send(asked.pk, by=admin, reference="S", trace_id=TRACE))
    approvals.approve(request.pk, by=second, reason="seen the contract")
    row = Withdrawal.objects.get(pk=asked.pk)
    assert (row.state, row.asked_by, row.approved_by) == ("APPROVED", admin, second)
    assert desk.balance(rich, "USDT")[1] == Decimal("50000.000001")


@pytest.mark.parametrize("ask", [withdraw, ask_deposit])
def test_much_money_in_parts_takes_a_second_person(
    desk: Desk, rich: str, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(desk, rich, "30000")
    parts = [ask(desk, rich, amount) for amount in ("20000", "0.000001", "1")]
    assert [part.second_person for part in (first, *parts)] == [False, False, True, True]
    assert not ask(desk, desk.user(USDT="100"), "1").second_person, "another's"
    for part in parts:
        requests.cancel(type(part), part.pk, rich, trace_id=TRACE)
    assert not ask(desk, rich, "20000").second_person, "what was taken back does not count"
    monkeypatch.setattr(review, "SPAN", timedelta(0))
    assert not ask(desk, rich, "50000").second_person, "nor what was asked for long ago"


def test_a_deposit_of_much_money_takes_a_second_person_too(
    desk: Desk, admin: User, second: User, rich: str
) -> None:
    before = desk.balance(rich, "USDT")[0]
    asked = ask_deposit(desk, rich, "60000")
    decisions.confirm(asked.pk, by=admin, reason="it is on the statement", trace_id=TRACE)
    assert desk.balance(rich, "USDT")[0] == before
    approvals.approve(approval_of(asked).pk, by=second, reason="I see it too")
    assert desk.balance(rich, "USDT")[0] == before + 60000


def test_what_was_cancelled_meanwhile_is_not_approved(
    desk: Desk, admin: User, second: User, rich: str
) -> None:
    asked = withdraw(desk, rich, "60000")
    decisions.approve(asked.pk, by=admin, reason="a house", trace_id=TRACE)
    requests.cancel(Withdrawal, asked.pk, rich, trace_id=TRACE)
    with pytest.raises(approvals.Refused, match="cancelled"):
        approvals.approve(approval_of(asked).pk, by=second, reason="late")
    assert Withdrawal.objects.get(pk=asked.pk).state == "CANCELLED"


def test_who_is_blocked_gets_nothing_out(desk: Desk, admin: User) -> None:
    user = desk.user(USDT="100")
    first, second = withdraw(desk, user, "10").pk, withdraw(desk, user, "10").pk
    decisions.approve(first, by=admin, trace_id=TRACE)
    kill_switch.block(User.objects.get(pk=user), reason="odd", by="test", trace_id=TRACE)
    refused("user_blocked", lambda: withdraw(desk, user, "1"))
    refused("user_blocked", lambda: decisions.approve(second, by=admin, trace_id=TRACE))
    refused("user_blocked", lambda: decisions.send(first, by=admin, reference="S", trace_id=TRACE))
    decisions.reject(Withdrawal, first, by=admin, reason="blocked", trace_id=TRACE)
    assert desk.balance(user, "USDT") == money("90", "10")


# KYC caps


def level(desk: Desk, user: str, number: int) -> None:
    kyc.set_level(
        User.objects.get(pk=user),
        level=number,
        state="VERIFIED",
        reason="test",
        by=officer(desk),
        trace_id=TRACE,
    )


def test_a_level_caps_what_goes_out_in_a_day(desk: Desk, admin: User) -> None:
    user = desk.user(USDT="5000")
    asked = withdraw(desk, user, "600")
    says = refused("kyc_limit", lambda: withdraw(desk, user, "400.01"))
    assert "1000 USDT a day, of which 400.00 are left; this is worth 400.01" in says
    refused("kyc_limit", lambda: ask_deposit(desk, user, "10000.01"))
    ask_deposit(desk, user, "10000")
    refused("kyc_limit", lambda: ask_deposit(desk, user, "0.01"))
    withdraw(desk, user, "400")
    requests.cancel(Withdrawal, asked.pk, user, trace_id=TRACE)
    withdraw(desk, user, "600")
    level(desk, user, 2)
    withdraw(desk, user, "1000")
    level(desk, user, 0)
    refused("kyc_level", lambda: withdraw(desk, user, "1"))
    refused("kyc_level", lambda: ask_deposit(desk, user, "1"))
    assert desk.balance(user, "USDT") == money("3000", "2000")


def test_a_cap_is_reckoned_over_all_assets(desk: Desk) -> None:
    user, other = desk.user(USDT="5000", BTC="100", ETH="1"), desk.user(USDT="100000", BTC="100")
    refused("no_price", lambda: withdraw(desk, user, "1", "ETH"))
    desk.trade(other, "SELL", "0.0001", "50000")
    desk.trade(user, "BUY", "0.0001", "50000")
    withdraw(desk, user, "0.01", "BTC")
    says = refused("kyc_limit", lambda: withdraw(desk, user, "500.01"))
    assert "500.00 are left" in says
    withdraw(desk, user, "500")


def test_an_institution_may_have_levels_of_its_own(desk: Desk) -> None:
    user = desk.user(USDT="5000")
    row = KycLevel.objects.create(institution=desk.institution, level=1, name="Ours", daily_withdrawal=7)
    try:
        refused("kyc_limit", lambda: withdraw(desk, user, "8"))
        withdraw(desk, user, "7")
    finally:
        row.delete()


def test_who_is_not_identified_places_no_orders(desk: Desk) -> None:
    from exchange.base.database import own_connection
    from risk.pretrade import gate  # the process's own rules
    from trading.orders import candidates
    from trading.orders.pretrade import judged

    def reason(user: str) -> str:
        gate.rules.clear_cache()
        prepared = candidates.prepare([desk.draft(user, "BUY", "0.1", "100")], desk.member(user))
        with judged(own_connection(), prepared):
            return str(prepared[0].reason or "")

    known, unknown = desk.user(USDT="1000"), desk.user(USDT="1000")
    assert reason(unknown) == ""
    level(desk, unknown, 0)
    assert (reason(unknown), reason(known)) == ("KYC_LEVEL", "")
    level(desk, unknown, 1)
    assert reason(unknown) == ""
    everywhere = KycLevel.objects.create(level=1, name="Look only", may_trade=False)
    try:
        level(desk, known, 2)
        assert (reason(unknown), reason(desk.user(USDT="9")), reason(known)) == ("KYC_LEVEL", "KYC_LEVEL", "")
    finally:
        everywhere.delete()


# What psql would do


APPROVED = "state = 'APPROVED'"
REJECTED = "state = 'REJECTED', held = 0, closed_at = now()"
COMPLETED = "state = 'COMPLETED', held = 0, closed_at = now()"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("amount = amount + 1, held = held + 1", "amount cannot change"),
        ("party = 'mine'", "party cannot change"),
        ("held = 0", "withdrawal_holds_until_closed"),
        ("state = 'SENT'", "SENT does not follow REQUESTED"),
        (APPROVED, "withdrawal_approved_by_another"),
        (f"{APPROVED}, approved_by_id = user_id", "withdrawal_approved_by_another"),
        (REJECTED, "withdrawal_refused_with_a_reason"),
        (f"{REJECTED}, reason = 'x', decided_by_id = user_id", "withdrawal_refused_with_a_reason"),
    ],
)
def test_the_database_refuses_what_is_no_step(desk: Desk, change: str, says: str) -> None:
    user = desk.user(USDT="10")
    asked = withdraw(desk, user, "10").pk
    with pytest.raises(psycopg.Error, match=says):
        sql(f"UPDATE trading_withdrawal SET {change} WHERE id = %s", asked)
    assert desk.balance(user, "USDT") == money("0", "10")


def test_a_payment_is_never_deleted_and_begins_as_requested(desk: Desk) -> None:
    asked = withdraw(desk, desk.user(USDT="10"), "10").pk
    for statement, says in (
        ("DELETE FROM trading_withdrawal WHERE id = %s", "append-only"),
        ("TRUNCATE trading_withdrawal", "append-only"),
    ):
        with pytest.raises(psycopg.Error, match=says):
            sql(statement, *([asked] if "%s" in statement else []))
    row = Withdrawal.objects.get(pk=asked)
    row.pk, row.state = uuid7(), "APPROVED"
    with pytest.raises(django.db.Error, match="begins as REQUESTED"):
        row.save(force_insert=True)


def test_much_money_is_not_approved_past_the_second_person(desk: Desk, admin: User, rich: str) -> None:
    asked = withdraw(desk, rich, "60000").pk
    with pytest.raises(psycopg.Error, match="withdrawal_second_person"):
        sql(
            f"UPDATE trading_withdrawal SET {APPROVED}, asked_by_id = %s, approved_by_id = %s WHERE id = %s",
            admin.pk,
            admin.pk,
            asked,
        )


def test_a_completed_withdrawal_without_its_posting_is_refused(desk: Desk, admin: User) -> None:
    user = desk.user(USDT="10")
    asked = withdraw(desk, user, "10").pk
    decisions.approve(asked, by=admin, trace_id=TRACE)
    decisions.send(asked, by=admin, reference="S", trace_id=TRACE)
    complete = f"UPDATE trading_withdrawal SET {COMPLETED}, transaction_id = %s WHERE id = %s"
    with pytest.raises(psycopg.Error, match="the ledger says 0"):
        sql(complete, uuid7(), asked)
    other = withdraw(desk, desk.user(USDT="10"), "10").pk
    decisions.approve(other, by=admin, trace_id=TRACE)
    decisions.send(other, by=admin, reference="S", trace_id=TRACE)
    booked = decisions.complete(other, by=admin, trace_id=TRACE).transaction_id
    with pytest.raises(psycopg.Error, match="transaction_id"):
        sql(complete, booked, asked)
    with pytest.raises(psycopg.Error, match="is closed and cannot change"):
        sql("UPDATE trading_withdrawal SET reference = 'x' WHERE id = %s", other)
    assert desk.balance(user, "USDT") == money("0", "10")


# At once


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Each on a thread and connection of its own, let go together; what each gave or raised."""
    barrier = threading.Barrier(len(jobs))
    results: list[Any] = [None] * len(jobs)

    def run(place: int, job: Callable[[], Any]) -> None:
        try:
            barrier.wait(PATIENCE)
            results[place] = job()
        except Exception as error:
            results[place] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "it hangs"
    return results


def test_the_same_funds_are_withdrawn_once(desk: Desk) -> None:
    user = desk.user(USDT="100")
    asks = [wanted(desk, user, "60") for _ in range(6)]
    results = at_once(*[lambda each=each: requests.withdraw(each, trace_id=TRACE) for each in asks])
    codes = sorted(each.code if isinstance(each, Refused) else "done" for each in results)
    assert codes == ["done"] + ["insufficient_funds"] * 5, results
    assert desk.balance(user, "USDT") == money("40", "60")


def test_one_request_sent_many_times_at_once_is_one_payment(desk: Desk) -> None:
    user = desk.user(USDT="100")
    asked = wanted(desk, user, "10")
    results = at_once(*[lambda: requests.withdraw(asked, trace_id=TRACE) for _ in range(6)])
    assert {each[0].pk for each in results} == {results[0][0].pk}
    assert sorted(each[1] for each in results) == [False] * 5 + [True]
    assert desk.balance(user, "USDT") == money("90", "10")


def test_a_withdrawal_and_an_order_for_the_same_funds(desk: Desk) -> None:
    for _ in range(5):
        user = desk.user(USDT="100")
        asked, draft = wanted(desk, user, "60"), desk.draft(user, "BUY", "1", "60")
        paid, placed = at_once(
            partial(requests.withdraw, asked, trace_id=TRACE),
            partial(desk.accept, draft),
        )
        went_out = not isinstance(paid, Exception)
        assert went_out != bool(placed.pending), (paid, placed)
        assert went_out or paid.code == "insufficient_funds"
        assert desk.balance(user, "USDT") == money("40", "60")


def test_cancel_and_approve_at_once(desk: Desk, admin: User) -> None:
    for _ in range(5):
        user = desk.user(USDT="100")
        asked = withdraw(desk, user, "60").pk
        cancelled, approved = at_once(
            partial(requests.cancel, Withdrawal, asked, user, trace_id=TRACE),
            partial(decisions.approve, asked, by=admin, trace_id=TRACE),
        )
        assert isinstance(cancelled, Refused) != isinstance(approved, Refused), (cancelled, approved)
        state = Withdrawal.objects.get(pk=asked).state
        assert state == ("APPROVED" if isinstance(cancelled, Refused) else "CANCELLED")
        assert desk.balance(user, "USDT")[1] == (60 if state == "APPROVED" else 0)


def test_completing_at_once_books_once(desk: Desk, admin: User, second: User) -> None:
    user = desk.user(USDT="100")
    asked = withdraw(desk, user, "60").pk
    decisions.approve(asked, by=admin, trace_id=TRACE)
    decisions.send(asked, by=admin, reference="S", trace_id=TRACE)
    results = at_once(
        *[
            lambda by=by: decisions.complete(asked, by=by, trace_id=TRACE)
            for by in (admin, second, admin, second)
        ]
    )
    assert sum(isinstance(each, Withdrawal) for each in results) == 1, results
    assert desk.balance(user, "USDT") == money("40", "0")


@pytest.mark.parametrize("point", ["before it is booked", "after it is booked", "before the commit"])
def test_a_connection_that_dies_leaves_all_or_nothing(
    desk: Desk, admin: User, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    user = desk.user(USDT="100")
    asked = withdraw(desk, user, "60").pk
    decisions.approve(asked, by=admin, trace_id=TRACE)
    decisions.send(asked, by=admin, reference="S", trace_id=TRACE)
    name = {"before it is booked": "book", "after it is booked": "settle", "before the commit": "tell_of"}[
        point
    ]
    real = getattr(booking, name)

    def dies(*given: Any, **more: Any) -> Any:
        result = None if name == "book" else real(*given, **more)
        with django.db.connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return result

    monkeypatch.setattr(booking, name, dies)
    (error,) = at_once(lambda: decisions.complete(asked, by=admin, trace_id=TRACE))
    assert isinstance(error, django.db.OperationalError), error
    monkeypatch.undo()
    assert Withdrawal.objects.get(pk=asked).state == "SENT"
    assert desk.balance(user, "USDT") == money("40", "60")
    decisions.complete(asked, by=admin, trace_id=TRACE)
    assert desk.balance(user, "USDT") == money("40", "0")


# What follows from it


def test_the_user_is_told_of_the_request_and_of_its_end(desk: Desk, admin: User) -> None:
    user = desk.user(USDT="100")
    asked = withdraw(desk, user, "60").pk
    decisions.approve(asked, by=admin, trace_id=TRACE)
    decisions.reject(Withdrawal, asked, by=admin, reason="unknown bank", trace_id=TRACE)
    rows = OutboxEvent.objects.filter(key=user, message__contains="WITHDRAWAL_STATUS_CHANGED").order_by("id")
    events_of = [event.read(row.topic, row.key.encode(), row.message.encode()) for row in rows]
    for _ in range(2):  # told again, nobody is told twice
        exactly_once.handle("notifications", [(handlers.withdrawals, each) for each in events_of])
    told = Notification.objects.filter(user_id=user, kind="WITHDRAWAL").order_by("id")
    assert [each.data["state"] for each in told] == ["REQUESTED", "REJECTED"]
    assert told[1].data["reason"] == "unknown bank"


def test_what_a_level_allows_takes_two_to_change(desk: Desk, admin: User, second: User) -> None:
    user = desk.user(USDT="5000")
    wanted_level = KycLevel(institution=desk.institution, level=1, name="Basic", daily_withdrawal=Decimal(5))
    request = level_changes.ask(wanted_level, reason="too much fraud", by=admin)
    assert ("withdrawals a day", "1000", "5") in level_changes.changes(request.payload)
    with pytest.raises(approvals.SamePerson):
        approvals.approve(request.pk, by=admin, reason="mine")
    withdraw(desk, user, "4")
    approvals.approve(request.pk, by=second, reason="agreed")
    try:
        refused("kyc_limit", lambda: withdraw(desk, user, "2"))
    finally:
        KycLevel.objects.all().delete()
    for wrong in ({"daily_deposit": Decimal(-1)}, {"level": 4}, {"name": ""}):
        row = KycLevel(**{"institution": desk.institution, "level": 1, "name": "x"} | wrong)
        with pytest.raises(approvals.Refused):
            level_changes.ask(row, reason="x", by=admin)


STEPS = ["approve", "send", "complete", "fail", "reject", "cancel"]


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    walk=st.lists(st.tuples(st.sampled_from(["ask", *STEPS]), st.integers(0, 4)), min_size=10, max_size=25)
)
def test_whatever_is_tried_the_books_are_right(desk: Desk, admin: User, walk: list[tuple[str, int]]) -> None:
    """Any steps in any order: those that may not be are refused, and funds are where the states say."""
    user, asked = desk.user(USDT="100"), []
    model: list[str] = []
    after = {"approve": "APPROVED", "send": "SENT", "complete": "COMPLETED", "fail": "FAILED"}
    after |= {"reject": "REJECTED", "cancel": "CANCELLED"}
    for verb, place in walk:
        if verb == "ask":
            if sum(state in OPEN_WITHDRAWALS or state == "COMPLETED" for state in model) < 5:
                asked.append(withdraw(desk, user, "20").pk)
                model.append("REQUESTED")
            else:
                refused("insufficient_funds", lambda: withdraw(desk, user, "20"))
            continue
        if place >= len(asked):
            continue
        try:
            take(verb, asked[place], user, admin)
            allowed = True
        except Refused:
            allowed = False
        possible = after[verb] in WITHDRAWAL_STEPS.get(model[place], ())
        repeated = verb == "cancel" and model[place] == "CANCELLED"
        if verb == "cancel" and model[place] != "REQUESTED":
            possible = False
        assert allowed == (possible or repeated), (verb, model[place])
        if possible:
            model[place] = after[verb]
    held = 20 * sum(state in OPEN_WITHDRAWALS for state in model)
    paid = 20 * model.count("COMPLETED")
    assert desk.balance(user, "USDT") == (Decimal(100 - held - paid), Decimal(held))
    states = Withdrawal.objects.filter(pk__in=asked).order_by("id").values_list("state", flat=True)
    assert list(states) == model


def take(verb: str, asked: Any, user: str, admin: User) -> None:
    if verb == "approve":
        decisions.approve(asked, by=admin, trace_id=TRACE)
    elif verb == "send":
        decisions.send(asked, by=admin, reference="S", trace_id=TRACE)
    elif verb == "complete":
        decisions.complete(asked, by=admin, trace_id=TRACE)
    elif verb == "fail":
        decisions.fail(asked, by=admin, reason="x", trace_id=TRACE)
    elif verb == "reject":
        decisions.reject(Withdrawal, asked, by=admin, reason="x", trace_id=TRACE)
    else:
        requests.cancel(Withdrawal, asked, user, trace_id=TRACE)
