"""Four eyes: what takes two people is asked for by one, decided by another, and kept on record."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.urls import reverse
from django.utils import timezone

from exchange.base import ids
from exchange.base import partitions as tables
from exchange.base.env import env
from exchange.base.ids import uuid7
from exchange.celery import app
from exchange.platform.approvals import order_rates, requests, roles
from exchange.platform.approvals.models import Approval, State
from exchange.platform.approvals.requests import (
    Expired,
    NotAllowed,
    NotPending,
    ReasonMissing,
    Refused,
    SamePerson,
    approve,
)
from exchange.platform.audit.models import Record
from exchange.platform.events.models import OutboxEvent
from exchange.platform.members.models import Institution, Role, StaffSession, User
from matching.core.types import MarketStatus
from matching.models import SymbolGroup
from risk.models import Limit
from risk.pretrade.limit_changes import in_force as limits_in_force
from risk.pretrade.rules import Rules
from tests.staff import signed_in, staff, totp
from trading.ledger import adjustments
from trading.markets import resume
from trading.models import (
    Account,
    Adjustment,
    Asset,
    FeeSchedule,
    Instrument,
    PendingCommand,
    Posting,
    Transaction,
)
from trading.models.partitions import TABLES
from trading.reference import fee_rates, fee_schedules

pytestmark = pytest.mark.django_db


@pytest.fixture
def bank(db: None) -> Institution:
    return Institution.objects.create(code="bank", name="Bank")


@pytest.fixture
def other_bank(db: None) -> Institution:
    return Institution.objects.create(code="other", name="Other bank")


@pytest.fixture
def usdt(db: None) -> Asset:
    return Asset.objects.create(code="USDT", name="Tether", scale=6)


@pytest.fixture
def market(usdt: Asset) -> Instrument:
    return Instrument.objects.create(
        symbol="BTC/USDT",
        base=Asset.objects.create(code="BTC", name="Bitcoin", scale=8),
        quote=usdt,
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.0001"),
        min_quantity=Decimal("0.0001"),
        max_quantity=Decimal("1000"),
        min_notional=Decimal("1"),
        group=SymbolGroup.objects.create(name="alpha"),
    )


@pytest.fixture
def trader(bank: Institution) -> User:
    return User.objects.create_user("trader@bank.example", institution=bank)


@pytest.fixture
def anna(db: None) -> User:
    return staff(Role.PLATFORM_ADMIN, email="anna@staff.example")


@pytest.fixture
def ben(db: None) -> User:
    return staff(Role.PLATFORM_ADMIN, email="ben@staff.example")


Ask = Callable[..., Approval]


@pytest.fixture
def ask(trader: User, usdt: Asset, anna: User) -> Ask:
    """Ask for an adjustment."""

    def adjust(amount: str = "10", **other: Any) -> Approval:
        given: dict[str, Any] = {
            "user": trader,
            "asset": usdt,
            "reason": "a deposit was not booked",
            "by": anna,
        }
        return adjustments.ask(amount=Decimal(amount), **{**given, **other})

    return adjust


def outdated(ask: Ask) -> Approval:
    """One that has run out."""
    wanted = ask()
    fields = {field.attname: getattr(wanted, field.attname) for field in Approval._meta.concrete_fields}
    then = timezone.now() - timedelta(days=9)
    late = {"id": ids.new(), "requested_at": then, "expires_at": then + timedelta(days=3)}
    return Approval.objects.create(**{**fields, **late})


def balance(user: User) -> Decimal:
    found = Account.objects.filter(user=user, asset__code="USDT").first()
    return found.available if found else Decimal(0)


def settle() -> None:
    """What the database does at the commit of a transaction, in the middle of a test's."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


def recorded(approval: Approval) -> list[str]:
    rows = Record.objects.filter(resource=f"approval/{approval.pk}").order_by("pk")
    return [row.action for row in rows]


# Deciding


def test_two_people_make_an_adjustment(ask: Ask, trader: User, anna: User, ben: User) -> None:
    wanted = ask("12.5")
    assert balance(trader) == 0
    approved = approve(wanted.pk, by=ben, reason="seen the statement")
    settle()
    assert balance(trader) == Decimal("12.5")
    assert (approved.state, approved.decided_by, approved.requested_by) == (State.APPROVED, ben, anna)
    booked = Adjustment.objects.get(approval=wanted)
    ledger = Transaction.objects.get(pk=booked.transaction_id)
    assert (ledger.kind, ledger.trace_id) == ("ADJUSTMENT", str(wanted.pk))
    sums = {
        p.account.kind: p.amount for p in Posting.objects.filter(transaction=ledger).select_related("account")
    }
    assert sums == {"USER": Decimal("12.5"), "CUSTODY": Decimal("-12.5")}
    assert recorded(wanted) == ["REQUEST_ADJUSTMENT", "APPROVE_ADJUSTMENT"]
    asked, given = Record.objects.filter(resource=f"approval/{wanted.pk}").order_by("pk")
    assert (asked.actor, given.actor, given.institution) == (str(anna.pk), str(ben.pk), trader.institution)
    assert (json.loads(given.old), json.loads(given.new)["available"]) == ({"available": "0"}, "12.5")
    (told,) = [e for e in map(_message, OutboxEvent.objects.all()) if e["event_type"] == "ADJUSTED"]
    assert told["payload"]["amount"] == "12.5"


def _message(event: OutboxEvent) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event.message)
    return found


def test_who_asks_does_not_decide(ask: Ask, anna: User) -> None:
    wanted = ask()
    for decide in (approve, requests.reject):
        with pytest.raises(SamePerson):
            decide(wanted.pk, by=anna, reason="my own")
    wanted.refresh_from_db()
    assert wanted.state == State.PENDING


def test_whom_it_concerns_neither_asks_nor_decides(bank: Institution, usdt: Asset, anna: User) -> None:
    one = staff(Role.INSTITUTION_ADMIN, bank)
    wanted = adjustments.ask(user=one, asset=usdt, amount=Decimal(5), reason="a gift", by=anna)
    with pytest.raises(SamePerson):
        approve(wanted.pk, by=one, reason="thanks")
    with pytest.raises(SamePerson):
        adjustments.ask(user=one, asset=usdt, amount=Decimal(5), reason="a gift", by=one)


def test_an_own_request_is_withdrawn(ask: Ask, anna: User, ben: User) -> None:
    wanted = ask()
    with pytest.raises(NotAllowed):
        requests.withdraw(wanted.pk, by=ben)
    assert requests.withdraw(wanted.pk, by=anna).state == State.WITHDRAWN
    with pytest.raises(NotPending):
        approve(wanted.pk, by=ben, reason="too late")


def test_a_rejection_has_a_reason_and_is_final(ask: Ask, trader: User, ben: User) -> None:
    wanted = ask()
    for decide in (requests.reject, approve):
        for reason in ("  ", "x" * 501):
            with pytest.raises(ReasonMissing):
                decide(wanted.pk, by=ben, reason=reason)
    assert requests.reject(wanted.pk, by=ben, reason="no such deposit").state == State.REJECTED
    with pytest.raises(NotPending):
        approve(wanted.pk, by=ben, reason="changed my mind")
    assert balance(trader) == 0


def test_what_has_run_out_is_not_approved(ask: Ask, ben: User) -> None:
    wanted = outdated(ask)
    with pytest.raises(Expired):
        approve(wanted.pk, by=ben, reason="late")
    with pytest.raises(DatabaseError, match="has run out"), transaction.atomic():
        Approval.objects.filter(pk=wanted.pk).update(
            state="APPROVED", decided_by=ben, decided_at=timezone.now(), decision_reason="late"
        )
    assert requests.expire() == 1
    wanted.refresh_from_db()
    assert (wanted.state, wanted.decided_by) == (State.EXPIRED, None)
    assert recorded(wanted) == ["EXPIRE_ADJUSTMENT"]
    assert requests.expire() == 0


@pytest.mark.parametrize("role", [Role.DEALER, Role.COMPLIANCE, Role.AUDITOR, Role.SUPPORT])
def test_a_role_without_the_permission_decides_nothing(ask: Ask, bank: Institution, role: Role) -> None:
    with pytest.raises(NotAllowed, match=r"adjustments\.approve"):
        approve(ask().pk, by=staff(role, bank), reason="let me")


def test_another_institution_decides_nothing(ask: Ask, bank: Institution, other_bank: Institution) -> None:
    wanted = ask()
    with pytest.raises(NotAllowed, match="own institution"):
        approve(wanted.pk, by=staff(Role.INSTITUTION_ADMIN, other_bank), reason="let me")
    assert approve(wanted.pk, by=staff(Role.INSTITUTION_ADMIN, bank), reason="ours").state == State.APPROVED


def test_another_institution_asks_nothing(ask: Ask, other_bank: Institution) -> None:
    with pytest.raises(NotAllowed, match="own institution"):
        ask(by=staff(Role.INSTITUTION_ADMIN, other_bank))
    with pytest.raises(NotAllowed, match=r"adjustments\.request"):
        ask(by=staff(Role.AUDITOR))


def test_what_was_asked_by_somebody_who_was_let_go_is_not_approved(ask: Ask, anna: User, ben: User) -> None:
    wanted = ask()
    for change in ({"is_active": False}, {"is_active": True, "role": Role.AUDITOR}):
        User.objects.filter(pk=anna.pk).update(**change)
        with pytest.raises(Refused, match="any more"):
            approve(wanted.pk, by=ben, reason="fine")
    assert recorded(wanted)[1:] == ["TRY_APPROVE_ADJUSTMENT"] * 2


def test_what_cannot_be_carried_out_waits_on(ask: Ask, trader: User, usdt: Asset, ben: User) -> None:
    approve(ask("10").pk, by=ben, reason="fine")
    settle()
    taken, other = ask("-8"), ask("-8")
    approve(taken.pk, by=ben, reason="fine")
    settle()
    with pytest.raises(Refused, match="only 2 USDT"):
        approve(other.pk, by=ben, reason="fine")
    other.refresh_from_db()
    assert (other.state, balance(trader)) == (State.PENDING, 2)
    page = signed_in(ben).get(reverse("admin:approvals_approval_change", args=[other.pk])).content.decode()
    assert "could not be carried out" in page
    assert "only 2 USDT" in page
    assert recorded(other) == ["REQUEST_ADJUSTMENT", "TRY_APPROVE_ADJUSTMENT"]


@pytest.mark.parametrize(
    ("amount", "says"),
    [("0", "other than zero"), ("0.0000001", "6 decimal"), ("-1", "only 0 USDT"), ("NaN", "number")],
)
def test_an_adjustment_that_cannot_be_is_not_asked_for(ask: Ask, amount: str, says: str) -> None:
    with pytest.raises(Refused, match=says):
        ask(amount)
    assert not Approval.objects.exists()


def test_the_house_gives_no_more_than_it_has(ask: Ask, trader: User, ben: User) -> None:
    wanted = ask("10", contra="FEES")
    with pytest.raises(Refused, match="does not have that much"):
        approve(wanted.pk, by=ben, reason="fine")
    assert balance(trader) == 0
    assert not Transaction.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_at_once_one_is_told_that_it_is_decided() -> None:
    tables.ensure(TABLES)
    bank = Institution.objects.create(code="bank", name="Bank")
    usdt = Asset.objects.create(code="USDT", name="Tether", scale=6)
    trader = User.objects.create_user("trader@bank.example", institution=bank)
    anna, ben, cleo = staff(), staff(), staff()
    wanted = adjustments.ask(user=trader, asset=usdt, amount=Decimal(7), reason="missing", by=anna)
    start, results = threading.Barrier(2), []

    def decide(by: User) -> None:
        try:
            start.wait(timeout=20)
            results.append(approve(wanted.pk, by=by, reason="fine").state)
        except NotPending:
            results.append("told")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=decide, args=(each,)) for each in (ben, cleo)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(results) == [State.APPROVED, "told"]
    assert balance(trader) == 7
    assert Adjustment.objects.count() == 1


# What the database refuses, past all services


def _decided(**other: Any) -> dict[str, Any]:
    return {"state": "APPROVED", "decided_at": timezone.now(), "decision_reason": "psql", **other}


def test_the_database_keeps_requests_and_decisions(ask: Ask, anna: User, ben: User) -> None:
    wanted, done = ask(), approve(ask().pk, by=ben, reason="fine")
    waiting, decided = Approval.objects.filter(pk=wanted.pk), Approval.objects.filter(pk=done.pk)
    for change in (
        lambda: waiting.delete(),
        lambda: decided.delete(),
        lambda: waiting.update(payload={"amount": "1000000"}),
        lambda: waiting.update(requested_by=ben),
        lambda: waiting.update(expires_at=timezone.now() + timedelta(days=99)),
        lambda: waiting.update(**_decided(decided_by=anna)),
        lambda: waiting.update(**_decided(decided_by=None)),
        lambda: waiting.update(**_decided(decided_by=wanted.about)),
        lambda: waiting.update(state="REJECTED", decided_by=ben, decided_at=timezone.now()),
        lambda: decided.update(state="PENDING", decided_by=None, decided_at=None),
        lambda: decided.update(decision_reason="another"),
        lambda: Approval.objects.create(
            kind="ADJUSTMENT",
            subject="x",
            payload={},
            reason="x",
            requested_by=anna,
            expires_at=timezone.now(),
            **_decided(decided_by=ben),
        ),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE approvals_approval CASCADE")


def _book(user: User, asset: Asset, amount: int, approval: Approval | None, told: int | None = None) -> None:
    """An adjustment as a person with `psql` would write it."""
    with transaction.atomic():
        account, _ = Account.objects.get_or_create(
            kind="USER", institution=user.institution, user=user, asset=asset
        )
        contra, _ = Account.objects.get_or_create(kind="CUSTODY", institution=user.institution, asset=asset)
        whole = uuid7()
        Transaction.objects.create(id=whole, kind="ADJUSTMENT")
        for ordinal, (target, sign) in enumerate(((account, 1), (contra, -1)), 1):
            Posting.objects.create(
                id=f"{whole[:-2]}{ordinal:02x}",
                transaction_id=whole,
                account=target,
                asset=asset,
                amount=sign * amount,
            )
        if approval is not None:
            Adjustment.objects.create(
                transaction_id=whole, approval=approval, account=account, contra=contra, amount=told or amount
            )
        settle()


def test_the_database_books_no_adjustment_without_its_approval(
    ask: Ask, trader: User, usdt: Asset, ben: User
) -> None:
    stranger = User.objects.create_user("other@bank.example", institution=trader.institution)
    waits, rejected, used = ask("10"), ask("10"), ask("10")
    requests.reject(rejected.pk, by=ben, reason="no")
    approve(used.pk, by=ben, reason="yes")
    settle()
    for user, amount, approval in (
        (trader, 10, None),
        (trader, 10, waits),
        (trader, 10, rejected),
        (trader, 10, used),
        (trader, 1000, used),
        (stranger, 10, used),
    ):
        with pytest.raises(IntegrityError):
            _book(user, usdt, amount, approval)
    assert (balance(trader), balance(stranger)) == (10, 0)


def test_an_approval_allows_its_own_amount_and_user_alone(
    ask: Ask, trader: User, usdt: Asset, ben: User
) -> None:
    """Approved and not booked yet, as it is only inside the transaction that approves it."""
    stranger = User.objects.create_user("other@bank.example", institution=trader.institution)
    wanted = ask("10")
    Approval.objects.filter(pk=wanted.pk).update(**_decided(decided_by=ben))
    for user, amount, told in ((trader, 1000, None), (stranger, 10, None), (trader, 1000, 10)):
        with pytest.raises(IntegrityError, match="approv"):
            _book(user, usdt, amount, wanted, told)
    _book(trader, usdt, 10, wanted)
    assert balance(trader) == 10
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Adjustment.objects.update(amount=1)


# Fees


def rates(bank: Institution, market: Instrument) -> tuple[int, int]:
    return fee_rates.find(fee_rates.read(), str(bank.pk), market.pk)


def test_fees_take_effect_at_their_time(bank: Institution, market: Instrument, anna: User, ben: User) -> None:
    def version(maker: str | None, at: Any = None, instrument: Instrument | None = None) -> None:
        rate = None if maker is None else Decimal(maker)
        wanted = fee_schedules.ask(
            institution=bank,
            instrument=instrument,
            maker=rate,
            taker=rate,
            effective_from=at,
            reason="x",
            by=anna,
        )
        approve(wanted.pk, by=ben, reason="fine")

    assert rates(bank, market) == (0, 0)
    version("0.001")
    assert rates(bank, market) == (1000, 1000)
    soon = timezone.now() + timedelta(seconds=0.4)
    version("0.002", soon)
    assert rates(bank, market) == (1000, 1000)
    assert fee_schedules.in_force().get().maker == Decimal("0.001")
    while timezone.now() <= soon:  # the database's clock decides
        pass
    assert rates(bank, market) == (2000, 2000)
    version("0.0005", instrument=market)
    assert rates(bank, market) == (500, 500)
    version(None, instrument=market)
    assert rates(bank, market) == (2000, 2000)
    assert FeeSchedule.objects.count() == 4
    assert FeeSchedule.objects.filter(approval__decided_by=ben).count() == 4


def test_fees_that_are_none_are_not_asked_for(bank: Institution, anna: User) -> None:
    for maker, taker in ((Decimal(1), Decimal(0)), (Decimal("-0.1"), Decimal(0)), (Decimal(0), None)):
        with pytest.raises(Refused, match=r"[Rr]ates|0"):
            fee_schedules.ask(
                institution=bank,
                instrument=None,
                maker=maker,
                taker=taker,
                effective_from=None,
                reason="x",
                by=anna,
            )


def test_the_fee_page_asks_and_changes_nothing(bank: Institution, anna: User, ben: User) -> None:
    old = FeeSchedule.objects.create(institution=bank, maker=Decimal("0.001"), taker=Decimal("0.002"))
    page = reverse("admin:trading_feeschedule_change", args=[old.pk])
    browser = signed_in(anna)
    assert browser.get(page).status_code == 200
    answer = browser.post(page, {"maker": "0.003", "taker": "0.004", "reason": "dearer", "_save": "1"})
    wanted = Approval.objects.get()
    assert answer.headers["Location"] == reverse("admin:approvals_approval_change", args=[wanted.pk])
    old.refresh_from_db()
    assert (old.maker, FeeSchedule.objects.count()) == (Decimal("0.001"), 1)
    assert wanted.changes == [["maker", "0.001", "0.003"], ["taker", "0.002", "0.004"]]
    without = browser.post(page, {"maker": "0.003", "taker": "0.004", "reason": ""})
    assert "reason" in without.context["adminform"].form.errors
    late = {"effective_from_0": "2020-01-01", "effective_from_1": "00:00"}
    past = browser.post(page, {"maker": "0.003", "taker": "0.004", "reason": "x", **late})
    assert "effective_from" in past.context["adminform"].form.errors
    approve(wanted.pk, by=ben, reason="fine")
    assert fee_schedules.in_force().get().maker == Decimal("0.003")
    auditor = signed_in(staff(Role.AUDITOR, bank))
    assert 'name="reason"' not in auditor.get(page).content.decode()
    assert auditor.post(page, {"maker": "0", "taker": "0", "reason": "x"}).status_code == 403
    assert (
        browser.post(reverse("admin:trading_feeschedule_delete", args=[old.pk]), {"post": "yes"}).status_code
        == 403
    )


# Limits


def test_limits_take_effect_at_their_time_without_a_change_of_the_revision(
    bank: Institution, trader: User, anna: User, ben: User
) -> None:
    from risk.pretrade import limit_changes

    def version(count: int | None, at: Any = None) -> None:
        wanted = limit_changes.ask(
            Limit(user=trader, max_open_orders=count), effective_from=at, reason="x", by=anna
        )
        approve(wanted.pk, by=ben, reason="fine")

    def most() -> int | None:
        rules.look(connection.connection)
        return rules.ceilings(str(trader.pk), str(bank.pk), "BTC/USDT", "USDT").open_everywhere

    rules = Rules()
    version(5)
    assert most() == 5
    soon = timezone.now() + timedelta(seconds=0.5)
    version(3, soon)
    assert most() == 5
    revision = rules._revision
    while timezone.now() <= soon + timedelta(seconds=0.05):
        pass
    assert most() == 3
    assert rules._revision == revision
    version(None)
    assert most() is None
    assert limits_in_force().get().max_open_orders is None


def test_the_limit_page_asks_and_changes_nothing(bank: Institution, trader: User, ben: User) -> None:
    boss, dealer = staff(Role.INSTITUTION_ADMIN, bank), staff(Role.DEALER, bank)
    page = reverse("admin:risk_limit_add")
    browser = signed_in(dealer)
    fields = {"user": str(trader.pk), "max_open_orders": "4", "reason": "too busy"}
    answer = browser.post(page, fields)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    wanted = Approval.objects.get()
    assert answer.headers["Location"] == reverse("admin:approvals_approval_change", args=[wanted.pk])
    assert (wanted.institution, wanted.about, Limit.objects.count()) == (bank, trader, 0)
    approve(wanted.pk, by=boss, reason="fine")
    limit = Limit.objects.get()
    assert (limit.max_open_orders, limit.approval) == (4, wanted)
    assert (
        "currency"
        in browser.post(page, fields | {"user": "", "currency": "XYZ"}).context["adminform"].form.errors
    )
    for everybody in ({"user": ""}, {"user": str(dealer.pk)}):  # the platform's affair, and one's own
        assert browser.post(page, fields | everybody).status_code == 302
    assert Approval.objects.count() == 1
    actions = browser.get(reverse("admin:risk_limit_changelist")).context["action_form"]
    assert not actions or "delete_selected" not in dict(actions.fields["action"].choices)
    assert (
        browser.post(reverse("admin:risk_limit_delete", args=[limit.pk]), {"post": "yes"}).status_code == 403
    )


# Roles


def test_a_role_takes_two(bank: Institution, trader: User, anna: User, ben: User) -> None:
    wanted = roles.ask(user=trader, role=Role.DEALER, institution=bank, reason="joins the desk", by=anna)
    assert wanted.changes == [["role", "Trader", "Dealer"]]
    trader.refresh_from_db()
    assert trader.role == Role.TRADER
    StaffSession.objects.create(user=trader, started_at=timezone.now(), seen_at=timezone.now())
    approve(wanted.pk, by=ben, reason="welcome")
    trader.refresh_from_db()
    assert (trader.role, trader.is_staff, trader.institution) == (Role.DEALER, True, bank)
    assert not StaffSession.objects.filter(user=trader, ended_at=None).exists()


def test_an_institution_makes_its_own_staff_and_no_platform_staff(
    bank: Institution, other_bank: Institution, trader: User, usdt: Asset, anna: User
) -> None:
    boss, second = staff(Role.INSTITUTION_ADMIN, bank), staff(Role.INSTITUTION_ADMIN, bank)
    for institution, role in ((None, Role.PLATFORM_ADMIN), (None, Role.AUDITOR), (other_bank, Role.DEALER)):
        with pytest.raises(NotAllowed):
            roles.ask(user=trader, role=role, institution=institution, reason="x", by=boss)
    with pytest.raises(Refused, match="no institution"):
        roles.ask(user=trader, role=Role.PLATFORM_ADMIN, institution=bank, reason="x", by=anna)
    wanted = roles.ask(user=trader, role=Role.SUPPORT, institution=bank, reason="x", by=boss)
    approve(wanted.pk, by=second, reason="fine")
    with pytest.raises(SamePerson):
        roles.ask(user=boss, role=Role.COMPLIANCE, institution=bank, reason="x", by=boss)


def test_who_has_balances_does_not_move(
    bank: Institution, other_bank: Institution, ask: Ask, trader: User, anna: User, ben: User
) -> None:
    approve(ask().pk, by=ben, reason="fine")
    with pytest.raises(Refused, match="balances"):
        roles.ask(user=trader, role=Role.DEALER, institution=other_bank, reason="x", by=anna)


def test_no_page_of_a_user_changes_a_role(bank: Institution, trader: User, anna: User) -> None:
    boss = signed_in(anna)
    page = reverse("admin:members_user_change", args=[trader.pk])
    fields = {"email": trader.email, "is_active": "on", "order_rate": "7"}
    wanted = {"role": "PLATFORM_ADMIN", "institution": "", "is_staff": "on", "is_superuser": "on"}
    assert boss.post(page, fields | wanted).status_code == 302
    trader.refresh_from_db()
    assert (trader.order_rate, trader.role, trader.institution) == (None, Role.TRADER, bank)
    assert (trader.is_staff, trader.is_superuser) == (False, False)
    new = {"email": "new@bank.example", "usable_password": "true", "institution": str(bank.pk)}
    new |= {"password1": "correct-horse-battery", "password2": "correct-horse-battery"}
    boss.post(reverse("admin:members_user_add"), new | {"role": "DEALER", "is_superuser": "on"})
    made = User.objects.get(email="new@bank.example")
    assert (made.role, made.is_staff) == (Role.TRADER, False)
    asking = boss.get(reverse("admin:members_user_ask_for_role", args=[trader.pk]))
    assert asking.headers["Location"] == f"/admin/approvals/approval/ask/ROLE/?user={trader.pk}"


def test_requests_run_out_by_themselves(ask: Ask) -> None:
    late = outdated(ask)
    app.autodiscover_tasks(force=True)
    (entry,) = [each for each in app.conf.beat_schedule.values() if each["task"] == "approvals.expire"]
    app.tasks[entry["task"]]()
    late.refresh_from_db()
    assert late.state == State.EXPIRED


def run(name: str, *arguments: str) -> Any:
    output = StringIO()
    call_command(name, *arguments, "--json", stdout=output)
    return json.loads(output.getvalue())


def test_a_new_colleague_cannot_sign_in_before_a_second_person_has_said_so(
    bank: Institution, anna: User, ben: User
) -> None:
    arguments = ["new@bank.example", "--role", "DEALER", "--institution", "bank"]
    with pytest.raises(CommandError, match="--by"):
        run("create_user", *arguments)
    arguments += ["--by", anna.email, "--reason", "joins the desk"]
    assert run("create_user", *arguments, "--dry-run")["active"] is False
    assert not User.objects.filter(email="new@bank.example").exists()
    with pytest.raises(CommandError, match="--code"):
        run("create_user", *arguments, "--code", "000000")
    made = run("create_user", *arguments, "--code", totp(anna))
    user = User.objects.get(pk=made["id"])
    assert (user.role, user.is_active, user.check_password(made["password"])) == (Role.TRADER, False, True)
    approve(made["approval"], by=ben, reason="welcome")
    user.refresh_from_db()
    assert (user.role, user.is_active) == (Role.DEALER, True)
    assert run("create_user", "plain@bank.example", "--institution", "bank")["active"] is True
    with pytest.raises(CommandError, match="already"):
        run("create_user", "plain@bank.example", "--institution", "bank")
    with pytest.raises(CommandError, match="needs an institution"):
        run("create_user", "lost@bank.example")


def test_the_first_two_have_nobody_to_ask_and_the_third_has(db: None) -> None:
    for email in ("first@staff.example", "second@staff.example"):
        made = run("create_user", email, "--role", "PLATFORM_ADMIN")
        assert (made["active"], made["approval"]) == (True, None)
    User.objects.filter(email="second@staff.example").update(is_active=False)  # nobody is alone again
    for name, arguments in (
        ("create_user", ["third@staff.example", "--role", "PLATFORM_ADMIN"]),
        ("createsuperuser", ["--noinput", "--email", "third@staff.example"]),
    ):
        with pytest.raises(CommandError):
            call_command(name, *arguments)
    assert User.objects.count() == 2


# Order rates


def test_an_order_rate_takes_two(bank: Institution, trader: User, anna: User, ben: User) -> None:
    boss, second = (staff(Role.INSTITUTION_ADMIN, bank) for _ in range(2))
    wanted = order_rates.ask(trader, order_rate=5, reason="too many at once", by=boss)
    assert (wanted.changes, wanted.institution) == ([["orders a second", "–", "5"]], bank)
    with pytest.raises(SamePerson):
        approve(wanted.pk, by=boss, reason="mine")
    assert not User.objects.filter(order_rate__isnull=False).exists()
    approve(wanted.pk, by=second, reason="fine")
    trader.refresh_from_db()
    assert trader.order_rate == 5
    approve(order_rates.ask(bank, order_rate=50, reason="a big desk", by=anna).pk, by=ben, reason="agreed")
    bank.refresh_from_db()
    assert bank.order_rate == 50
    approve(
        order_rates.ask(trader, order_rate=None, reason="as the others", by=boss).pk, by=second, reason="fine"
    )
    trader.refresh_from_db()
    assert trader.order_rate is None


def test_what_protects_the_platform_is_the_platforms(
    bank: Institution, trader: User, anna: User, ben: User
) -> None:
    boss, second = (staff(Role.INSTITUTION_ADMIN, bank) for _ in range(2))
    for whose, rate in ((bank, 5), (trader, env.exchange_order_rate + 1)):
        with pytest.raises(NotAllowed):
            order_rates.ask(whose, order_rate=rate, reason="more", by=boss)
        wanted = order_rates.ask(whose, order_rate=rate, reason="more", by=anna)
        with pytest.raises(NotAllowed):
            approve(wanted.pk, by=second, reason="yes")
        approve(wanted.pk, by=ben, reason="fine")
        whose.refresh_from_db()
        assert whose.order_rate == rate
    for rate in (0, -1, 2**31):
        with pytest.raises(Refused, match="orders a second"):
            order_rates.ask(trader, order_rate=rate, reason="none at all", by=anna)


def test_pages_ask_for_an_order_rate(
    bank: Institution, other_bank: Institution, trader: User, anna: User
) -> None:
    platform, boss = signed_in(anna), signed_in(staff(Role.INSTITUTION_ADMIN, bank))
    fields = {"reason": "busy", "order_rate": "7"}
    for row, named in ((trader, {"email": trader.email}), (bank, {"institution": str(bank.pk)})):
        kind = row._meta.model_name
        asking = platform.get(reverse(f"admin:members_{kind}_ask_for_rate", args=[row.pk])).headers[
            "Location"
        ]
        assert asking == f"/admin/approvals/approval/ask/ORDER_RATE/?{kind}={row.pk}"
        initial = platform.get(asking).context["form"].initial
        assert named.items() <= initial.items()
        assert platform.post(asking, fields | named).status_code == 302
        assert Approval.objects.latest("requested_at").payload == {kind: str(row.pk), "order_rate": 7}
    for wrong in ({}, {"email": trader.email, "institution": str(bank.pk)}):
        assert "user or an institution" in platform.post(asking, fields | wrong).content.decode()
    assert boss.get(reverse("admin:members_institution_ask_for_rate", args=[bank.pk])).status_code == 403
    assert (
        boss.post(asking, fields | {"institution": str(bank.pk)}).status_code == 200
    )  # it has no such field
    assert boss.post(asking, fields | {"email": trader.email}).status_code == 302
    assert Approval.objects.count() == 3
    page = reverse("admin:members_institution_change", args=[bank.pk])
    inlines = {f"{name}-{each}_FORMS": "0" for name in ("brand", "hosts") for each in ("TOTAL", "INITIAL")}
    for name in ("Bank A", "Bank B"):
        assert platform.post(page, inlines | {"name": name, "order_rate": "9"}).status_code == 302
    bank.refresh_from_db()
    assert (bank.name, bank.order_rate) == ("Bank B", None)


# Resuming


def _stand(market: Instrument, status: str) -> None:
    Instrument.objects.filter(pk=market.pk).update(status=status)


def test_resuming_takes_two_and_the_matcher_is_told_with_the_approval(
    market: Instrument, anna: User, ben: User
) -> None:
    for before, after in (("HALTED", MarketStatus.TRADING), ("CANCEL_ONLY", MarketStatus.POST_ONLY)):
        _stand(market, before)
        PendingCommand.objects.all().delete()
        wanted = resume.ask("BTC/USDT", status=after, reason="fixed", by=anna)
        assert wanted.changes == [["BTC/USDT", before, after.value]]
        assert not PendingCommand.objects.exists()
        approve(wanted.pk, by=ben, reason="checked")
        assert PendingCommand.objects.count() == 1


def test_there_must_be_something_to_resume(market: Instrument, anna: User, ben: User) -> None:
    with pytest.raises(Refused, match="stricter"):
        resume.ask("BTC/USDT", status=MarketStatus.TRADING, reason="x", by=anna)
    _stand(market, "HALTED")
    group = SymbolGroup.objects.get(name="alpha")
    wanted = resume.ask(group, status=MarketStatus.TRADING, reason="x", by=anna)
    _stand(market, "TRADING")
    with pytest.raises(Refused, match="stricter"):
        approve(wanted.pk, by=ben, reason="x")
    with pytest.raises(Refused):
        resume.ask(group, status=MarketStatus.HALTED, reason="x", by=anna)


@pytest.mark.parametrize(
    ("before", "after", "two"),
    [
        ("HALTED", "TRADING", True),
        ("HALTED", "POST_ONLY", True),
        ("CANCEL_ONLY", "TRADING", True),
        ("POST_ONLY", "TRADING", True),
        ("HALTED", "CANCEL_ONLY", False),
        ("TRADING", "HALTED", False),
        ("TRADING", "POST_ONLY", False),
    ],
)
def test_what_takes_more_orders_takes_two_people(before: str, after: str, two: bool) -> None:
    assert resume.needs_second_person(MarketStatus(before), MarketStatus(after)) is two


# Commands


def test_the_adjust_command_asks_for_its_person(ask: Ask, trader: User, anna: User, ben: User) -> None:
    arguments = [trader.email, "USDT", "12.5", "--reason", "not booked", "--by", anna.email]
    assert run("adjust", *arguments, "--dry-run")["state"] == "would be asked for"
    for wrong, says in (
        (["--code", "123456"], "not a code"),
        ([], "give a code"),
        (["--by", trader.email, "--code", "1"], "staff"),
    ):
        with pytest.raises(CommandError, match=says):
            run("adjust", *arguments, *wrong)
    assert not Approval.objects.exists()
    made = run("adjust", *arguments, "--code", totp(anna))
    assert (made["state"], balance(trader)) == ("PENDING", 0)
    (listed,) = run("approvals", "--list")
    assert (listed["id"], listed["requested_by"], listed["state"]) == (
        made["approval"],
        anna.email,
        "PENDING",
    )
    approve(made["approval"], by=ben, reason="fine")
    assert run("approvals") == []
    assert [row["state"] for row in run("approvals", "--all")] == ["APPROVED"]


# The queue


def test_the_page_of_a_request_and_its_buttons(ask: Ask, anna: User, ben: User) -> None:
    wanted = ask("12.5")
    page = reverse("admin:approvals_approval_change", args=[wanted.pk])
    decide = [
        reverse("admin:approvals_approval_decide", args=[wanted.pk, v]) for v in ("approve", "withdraw")
    ]
    first, second = signed_in(anna), signed_in(ben)
    own = first.get(page).content.decode()
    assert decide[1] in own
    assert decide[0] not in own
    theirs = second.get(page).content.decode()
    assert decide[0] in theirs
    assert decide[1] not in theirs
    for text in ("trader@bank.example", "12.5", "a deposit was not booked", anna.email):
        assert text in theirs
    assert second.get(decide[0]).status_code == 405
    first.post(decide[0], {"reason": "my own"})
    second.post(decide[0], {"reason": ""})
    wanted.refresh_from_db()
    assert wanted.state == State.PENDING
    second.post(decide[0], {"reason": "seen it"})
    wanted.refresh_from_db()
    assert wanted.state == State.APPROVED
    assert decide[0] not in second.get(page).content.decode()


def test_the_queue_is_one_of_the_tenant(ask: Ask, bank: Institution, other_bank: Institution) -> None:
    wanted = ask()
    page = reverse("admin:approvals_approval_change", args=[wanted.pk])
    stranger = signed_in(staff(Role.INSTITUTION_ADMIN, other_bank))
    assert stranger.get(page).status_code == 302
    decide = reverse("admin:approvals_approval_decide", args=[wanted.pk, "approve"])
    assert stranger.post(decide, {"reason": "x"}).status_code == 404
    listed = reverse("admin:approvals_approval_changelist")
    assert len(stranger.get(listed, {"state": "all"}).context["cl"].result_list) == 0
    own = signed_in(staff(Role.INSTITUTION_ADMIN, bank))
    assert len(own.get(listed).context["cl"].result_list) == 1
    assert "1" in own.get(listed).content.decode()
    auditor = signed_in(staff(Role.AUDITOR))
    assert auditor.get(page).status_code == 200
    auditor.post(decide, {"reason": "x"})
    wanted.refresh_from_db()
    assert wanted.state == State.PENDING


def test_what_has_run_out_is_shown_so(ask: Ask, ben: User) -> None:
    late = outdated(ask)
    browser = signed_in(ben)
    page = browser.get(reverse("admin:approvals_approval_change", args=[late.pk])).content.decode()
    assert reverse("admin:approvals_approval_decide", args=[late.pk, "approve"]) not in page
    listed = reverse("admin:approvals_approval_changelist")
    assert late not in browser.get(listed).context["cl"].result_list
    assert late in browser.get(listed, {"state": "EXPIRED"}).context["cl"].result_list


def test_asking_in_the_back_office(
    bank: Institution, other_bank: Institution, trader: User, usdt: Asset, anna: User
) -> None:
    page = reverse("admin:approvals_approval_ask", args=["ADJUSTMENT"])
    form = {"email": trader.email, "asset": usdt.pk, "amount": "5", "contra": "CUSTODY", "reason": "missing"}
    browser = signed_in(anna)
    assert trader.email in browser.get(page, {"user": str(trader.pk)}).content.decode()
    assert browser.post(page, form | {"amount": "-5"}).status_code == 200  # refused, and said so
    assert browser.post(page, form | {"reason": ""}).status_code == 200
    assert not Approval.objects.exists()
    assert browser.post(page, form).status_code == 302
    assert Approval.objects.get().about == trader
    stranger = signed_in(staff(Role.INSTITUTION_ADMIN, other_bank))
    assert trader.email not in stranger.get(page, {"user": str(trader.pk)}).content.decode()
    assert "no such user" in stranger.post(page, form).content.decode()
    assert signed_in(staff(Role.AUDITOR)).get(page).status_code == 403
    role_page = reverse("admin:approvals_approval_ask", args=["ROLE"])
    boss = signed_in(staff(Role.INSTITUTION_ADMIN, bank))
    wanted = {"email": trader.email, "role": "DEALER", "institution": str(bank.pk), "reason": "joins"}
    assert boss.post(role_page, wanted | {"institution": str(other_bank.pk)}).status_code == 200
    assert boss.post(role_page, wanted).status_code == 302
    assert Approval.objects.filter(kind="ROLE", institution=bank).exists()
    assert browser.get(reverse("admin:approvals_approval_ask", args=["FEES"])).status_code == 404
