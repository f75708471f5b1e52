"""The wallet port over real HTTP: the saga at every point where it can break, and the proof that nothing is held
twice or forgotten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from io import StringIO
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection as django_connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from exchange.base.database import Transaction, connect, own_connection
from exchange.base.env import env
from exchange.base.ids import uuid7
from exchange.embedded.stack import PROJECT
from exchange.platform.members import tokens
from exchange.platform.members.models import User
from matching.core.types import TimeInForce
from tests.market import Desk, eventually, open_desk, running, sql
from tests.simulation.wallet.service import TOKEN, Service, wait_for
from trading import tasks
from trading.management.commands import reconcile_wallet
from trading.models import Account, Order, Posting, Reservation
from trading.orders import candidates, change, intake, wallet_funds
from trading.orders.amend import amend_order
from trading.orders.cancel import cancel_all_orders, cancel_order
from trading.orders.change import ChangeOutcome
from trading.orders.place import Outcome, Placed, place_orders
from trading.verify import check
from trading.wallet import client
from trading.wallet import reconcile as reconciling
from trading.wallet.client import OPEN_SECONDS, WalletClient, WalletUnavailable
from trading.wallet.reconcile import Finding, reconcile
from trading.wallet.release import Closer

pytestmark = pytest.mark.django_db(transaction=True)

LONG = pytest.mark.long
TIMEOUT = 0.5  # seconds that we wait for an answer of the service
SESSIONS = "FROM pg_stat_activity WHERE application_name = %s"
READERS = (  # of WALLET
    "trading.api.queries",
    "trading.management.commands.reconcile_wallet",
    "trading.orders.amend",
    "trading.orders.intake",
    "trading.orders.place",
    "trading.tasks",
    "trading.wallet.client",
    "trading.wallet.release",
)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("bank")) as service:
        yield service


@pytest.fixture
def service(bank: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """This process has WALLET=http; the service does as it should."""
    settings = {"wallet": "http", "wallet_url": bank.url, "wallet_token": TOKEN, "wallet_timeout": TIMEOUT}
    for module in READERS:
        monkeypatch.setattr(f"{module}.env", env.model_copy(update=settings))
    monkeypatch.setattr(reconciling, "PAUSE", 0.05)
    bank.behave()
    bank.empty()
    client.wallet.cache_clear()
    yield bank
    client.wallet.cache_clear()


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    """Its database must be as `verify` wants it after each test."""
    with open_desk() as desk:
        yield desk
        held = intake.intake()._connection
        if held is not None:
            held.close()
        assert breaches() == {}


@pytest.fixture
def closer() -> Iterator[Closer]:
    with connect("exchange test wallet") as connection:
        yield Closer(lambda: connection)


@pytest.fixture
def matched(desk: Desk) -> Iterator[Desk]:
    """A desk whose worker runs."""
    with running(desk.worker):
        yield desk


def breaches() -> dict[str, Any]:
    """Of the rules about money; the trials run them all."""
    rules = [rule for name in ("ledger", "orders", "trades", "wallet") for rule in check.load(name)]
    found = check.run(own_connection(), rules, lambda what: None)
    return {finding.rule.name: finding.first for finding in found if finding.breaches}


def customer(desk: Desk, service: Service, **funds: str) -> str:
    """A trader whose money is at the bank."""
    user = desk.user()
    service.deposit(user, **funds)
    return user


def place(desk: Desk, user: str, side: str, quantity: str, price: str | None = None, **more: Any) -> Placed:
    _, (placed,) = place_orders([desk.draft(user, side, quantity, price, **more)], desk.member(user), cost=1)
    return placed


def order_id(placed: Placed) -> str:
    assert placed.order is not None
    return placed.order.order_id


def local(user: str) -> list[tuple[Decimal, Decimal]]:
    """What our ledger has of the user, where it is not zero."""
    rows = Account.objects.filter(user_id=user).values_list("available", "held")
    return [(available, held) for available, held in rows if available or held]


def findings(**options: Any) -> list[Finding]:
    with connect("exchange test wallet") as connection:
        return reconcile(
            connection, client.wallet(), lambda line: None, **({"everything": True, "patience": 0} | options)
        ).findings


def settle(service: Service) -> None:
    """What Kafka would bring the bank: every trade, and all of them again."""
    rows = sql("SELECT message FROM events_outboxevent WHERE topic = 'trade.events' ORDER BY id")
    for row in rows:
        service.act("/v1/settlements", json.loads(row[0]))


def state(reservation: str) -> str:
    return Reservation.objects.get(pk=reservation).state


def give_up_the_late() -> None:
    """As if the sweep's patience were over."""
    sql(
        "UPDATE trading_reservation SET created_at = created_at - interval '1 hour' WHERE state = 'RESERVING'"
    )


def at_rest(service: Service, closer: Closer, *users: str) -> None:
    """Nothing is open here or there, and both sides agree on everything that ever was."""
    give_up_the_late()
    closer.run()
    settle(service)
    assert findings() == []
    assert not Reservation.objects.filter(state__in=["RESERVING", "HELD", "RELEASING"]).exists()
    for user in users:
        assert local(user) == []
        assert not [each for each in service.reservations(only_open=True).values() if each["user"] == user]


# An order's life


def test_what_trades_take_is_consumed_and_the_rest_goes_back(
    matched: Desk, service: Service, closer: Closer
) -> None:
    alice, bob = customer(matched, service, USDT="1000"), customer(matched, service, BTC="5")
    sold = order_id(place(matched, bob, "SELL", "2", "90"))
    assert service.balance(bob, "BTC") == (3, 2)
    assert local(bob) == [(0, 2)]
    bought = order_id(place(matched, alice, "BUY", "3", "100"))
    assert service.balance(alice, "USDT") == (700, 300)
    assert (state(sold), state(bought)) == ("HELD", "HELD")
    closer.run()
    assert (state(sold), state(bought)) == ("RELEASED", "HELD")
    settle(service)
    assert service.balance(alice, "USDT") == (700, 120)
    assert service.balance(alice, "BTC") == (Decimal("1.996"), 0)  # 0.2 % fee
    assert findings() == []
    cancel_order(alice, bought, "t")
    at_rest(service, closer, alice, bob)
    assert service.balance(alice, "USDT") == (820, 0)
    assert service.balance(bob, "USDT") == (Decimal("179.82"), 0)  # 0.1 % fee
    assert service.balance("house", "USDT")[0] >= Decimal("0.18")
    assert matched.house("FEES", "USDT") == (Decimal("0.18"), 0)
    kinds = Posting.objects.filter(account__user_id=alice).values_list("transaction__kind", "amount")
    assert {(kind, amount) for kind, amount in kinds} == {
        ("RESERVE", 300), ("TRADE", -180), ("TRADE", Decimal("1.996")),
        ("RELEASE", -120), ("RELEASE", Decimal("-1.996")),
    }  # fmt: skip


def test_a_batch_is_one_request_and_each_order_is_answered_on_its_own(
    matched: Desk, service: Service, closer: Closer
) -> None:
    alice = customer(matched, service, USDT="250")
    service.misbehave("/v1/reserve-many", "error_before", count=2)  # a second request would fail for good
    drafts = [matched.draft(alice, "BUY", "1", "100") for _ in range(3)]
    with pytest.raises(WalletUnavailable):
        place_orders(drafts, matched.member(alice), cost=1)
    _, placed = place_orders(drafts, matched.member(alice), cost=1)
    assert [each.outcome for each in placed] == [Outcome.CREATED, Outcome.CREATED, Outcome.REJECTED]
    assert placed[2].order is not None and placed[2].order.reason == "INSUFFICIENT_FUNDS"
    states = sorted(Reservation.objects.values_list("state", flat=True))
    assert states == ["HELD", "HELD", "REFUSED", "RELEASING", "RELEASING", "RELEASING"]
    cancel_all_orders(alice, None, "t")
    at_rest(service, closer, alice)
    assert service.balance(alice, "USDT") == (250, 0)


def test_an_order_that_never_rests_gives_all_back(matched: Desk, service: Service, closer: Closer) -> None:
    alice, bob = customer(matched, service, USDT="1000"), customer(matched, service, BTC="5")
    rest = order_id(place(matched, bob, "SELL", "1", "95"))
    terms: list[dict[str, Any]] = [
        {"price": "95", "post_only": True},
        {"price": "90", "time_in_force": TimeInForce.FOK},
        {"price": "90", "time_in_force": TimeInForce.IOC},
    ]
    for each in terms:
        placed = place(matched, alice, "BUY", "1", **each)
        assert placed.order is not None and placed.order.status in ("REJECTED", "CANCELLED")
        assert state(order_id(placed)) == "HELD"
    cancel_order(bob, rest, "t")
    at_rest(service, closer, alice, bob)
    assert service.balance(alice, "USDT") == (1000, 0)


def test_the_same_order_again_needs_no_funds_and_no_service(
    matched: Desk, service: Service, closer: Closer
) -> None:
    alice = customer(matched, service, USDT="100")
    first = place(matched, alice, "BUY", "1", "100", client_order_id="one")
    service.misbehave("/v1/reserve-many", "error_before", count=100)
    again = place(matched, alice, "BUY", "1", "100", client_order_id="one")
    service.behave()
    assert again.outcome is Outcome.DUPLICATE and order_id(again) == order_id(first)
    draft = matched.draft(alice, "BUY", "0.1", "1", client_order_id="two")
    _, both = place_orders([draft, draft], matched.member(alice), cost=1)
    assert {each.outcome for each in both} == {Outcome.REJECTED, Outcome.DUPLICATE}
    cancel_all_orders(alice, None, "t")
    at_rest(service, closer, alice)


def test_an_amendment_holds_no_more_than_was_reserved(
    matched: Desk, service: Service, closer: Closer
) -> None:
    alice = customer(matched, service, USDT="1000")
    order, member = order_id(place(matched, alice, "BUY", "2", "100")), matched.member(alice)

    def amend(price: int) -> change.Changed:
        return amend_order(member, order, price=price * 100, quantity=None, trace_id="t")

    grown = amend(101)
    assert (grown.outcome, grown.reason) == (ChangeOutcome.REFUSED, "HOLD_CANNOT_GROW")
    assert amend(80).outcome is ChangeOutcome.DONE
    assert local(alice) == [(40, 160)]
    assert amend(100).outcome is ChangeOutcome.DONE
    assert local(alice) == [(0, 200)]
    assert amend(90).outcome is ChangeOutcome.DONE
    cancel_order(alice, order, "t")
    at_rest(service, closer, alice)
    assert service.balance(alice, "USDT") == (1000, 0)


def test_trades_between_two_institutions_leave_nothing_behind(
    matched: Desk, service: Service, closer: Closer
) -> None:
    """Each has a contra account of its own; together they owe what the fees' accounts have."""
    alice = customer(matched, service, USDT="1000")
    matched.institution = type(matched.institution).objects.create(code="other", name="Other bank")
    bob = customer(matched, service, BTC="5")
    place(matched, bob, "SELL", "1", "100")
    place(matched, alice, "BUY", "1", "100")
    at_rest(service, closer, alice, bob)
    rows = Account.objects.filter(kind="WALLET", asset__code="USDT").values_list("available", flat=True)
    assert sorted(rows) == [-100, 100]


# The service is away


def test_a_service_that_is_away_refuses_orders_at_once_and_is_tried_again(
    matched: Desk, service: Service, closer: Closer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "OPEN_SECONDS", open_seconds := 1.0)
    alice = customer(matched, service, USDT="1000")
    service.misbehave("/v1/reserve-many", "stall_before", count=100)
    began = time.monotonic()
    for _ in range(client.FAILURES):
        with pytest.raises(WalletUnavailable) as refused:
            place(matched, alice, "BUY", "1", "100")
        assert refused.value.asked
    assert time.monotonic() - began < 30.0, "each would have been stalled so long"
    rows = Reservation.objects.count()
    for _ in range(50):
        with pytest.raises(WalletUnavailable) as refused:
            place(matched, alice, "BUY", "1", "100")
        assert not refused.value.asked
    assert Reservation.objects.count() == rows == client.FAILURES
    assert not Order.objects.exists()
    service.behave()
    deadline = time.monotonic() + open_seconds + 20
    placed = None
    while placed is None:
        assert time.monotonic() < deadline
        try:
            placed = place(matched, alice, "BUY", "1", "100")
        except WalletUnavailable:
            time.sleep(0.05)
    cancel_order(alice, order_id(placed), "t")
    at_rest(service, closer, alice)
    assert service.balance(alice, "USDT") == (1000, 0)


def test_a_request_that_fails_once_is_sent_again_and_takes_effect_once(
    matched: Desk, service: Service, closer: Closer
) -> None:
    alice = customer(matched, service, USDT="1000")
    for mode in ("error_before", "error_after", "drop_before", "drop_after"):
        service.misbehave("/v1/reserve-many", mode)
        order = order_id(place(matched, alice, "BUY", "1", "100"))
        assert service.balance(alice, "USDT") == (900, 100)
        service.misbehave("/v1/release-many", mode)
        cancel_order(alice, order, "t")
        closer.run()
        assert service.balance(alice, "USDT") == (1000, 0)
    at_rest(service, closer, alice)


def test_many_wait_for_a_slow_service_side_by_side(matched: Desk, service: Service) -> None:
    """The circuit breaker does not queue them one behind the other."""
    slow = WalletClient(service.url, TOKEN, 5.0)
    alice = customer(matched, service, USDT="1000")
    path = f"/v1/users/{alice}/balances"
    service.misbehave(path, "stall_before", count=8, seconds=1.0)
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(slow.balances, [alice] * 8))) == 8
    assert time.monotonic() - began < 7.0, "one after another they wait eight seconds"


def test_rest_says_what_is_the_matter(matched: Desk, service: Service) -> None:
    alice = customer(matched, service, USDT="1000")
    token = tokens.access(User.objects.get(pk=alice))
    web = Client(headers={"authorization": f"Bearer {token}"})
    order = {"symbol": "BTC/USDT", "side": "BUY", "order_type": "LIMIT", "quantity": "1", "price": "100"}

    def send(name: str) -> Any:
        return web.post("/api/v1/orders", order | {"client_order_id": name}, content_type="application/json")

    assert send("a").status_code == 201
    balances = web.get("/api/v1/balances").json()["items"]
    assert balances == [{"asset": "USDT", "available": "900", "held": "100", "total": "1000"}]
    service.misbehave("/v1/reserve-many", "error_before", count=2)
    answer = send("b")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, str(OPEN_SECONDS))
    assert (answer.json()["code"], answer.json()["status"]) == ("wallet_unavailable", 503)
    service.misbehave(f"/v1/users/{alice}/balances", "error_before", count=2)
    answer = web.get("/api/v1/balances")
    assert (answer.status_code, answer.json()["code"]) == (503, "wallet_unavailable")


# kill -9 between any two steps


@contextmanager
def step(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A step of the exchange in a process of its own; it is killed at the end of the block."""
    url = urlsplit(env.database_url)._replace(path=f"/{django_connection.settings_dict['NAME']}").geturl()
    settings = {
        name.upper(): str(getattr(client.env, name)) for name in ("wallet", "wallet_url", "wallet_token")
    }
    settings |= {"DATABASE_URL": url, "WALLET_TIMEOUT": "60", "EXCHANGE_ORDER_TIMEOUT": "60"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.simulation.wallet.step", *arguments],
        cwd=PROJECT,
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def standing(table: str) -> Iterator[Callable[[], None]]:
    """Nothing writes to `table` meanwhile; gives what waits until a process wants to."""
    with connect("exchange test lock") as connection:
        connection.execute("BEGIN")
        connection.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
        yield lambda: wait_for(lambda: sql(waiting, table))
        connection.execute("ROLLBACK")


def order_body(name: str) -> str:
    terms = {"symbol": "BTC/USDT", "side": "BUY", "order_type": "LIMIT", "quantity": "1", "price": "100"}
    return json.dumps(terms | {"client_order_id": name})


@pytest.mark.parametrize("mode", ["stall_before", pytest.param("stall_after", marks=LONG)])
def test_web_is_killed_while_it_waits_for_the_service(
    desk: Desk, service: Service, closer: Closer, mode: str
) -> None:
    alice = customer(desk, service, USDT="1000")
    service.misbehave("/v1/reserve-many", mode)
    with step("place", alice, order_body("killed")):
        service.wait_stalled()
    (reservation,) = Reservation.objects.all()
    assert reservation.state == "RESERVING"
    if mode == "stall_before":  # what goes back overtakes what was to be reserved, and wins
        give_up_the_late()
        closer.run()
        assert state(str(reservation.pk)) == "RELEASED"
    service.behave()
    if mode == "stall_after":
        assert service.balance(alice, "USDT") == (900, 100)
        assert [finding.kind for finding in findings()] == ["late"]
    at_rest(service, closer, alice)
    assert service.balance(alice, "USDT") == (1000, 0)
    assert not Order.objects.exists()


def test_web_is_killed_between_the_answer_and_its_commit(
    desk: Desk, service: Service, closer: Closer
) -> None:
    alice = customer(desk, service, USDT="1000")
    with standing("trading_order") as one_waits, step("place", alice, order_body("killed")):
        one_waits()
    (reservation,) = Reservation.objects.all()
    assert service.balance(alice, "USDT") == (900, 100)
    eventually(lambda: not sql(f"SELECT 1 {SESSIONS} AND state <> 'idle'", "exchange intake"))
    assert (reservation.state, Order.objects.count()) == ("RESERVING", 0)
    at_rest(service, closer, alice)
    assert service.balance(alice, "USDT") == (1000, 0)


def test_web_is_killed_after_its_commit(desk: Desk, service: Service, closer: Closer) -> None:
    alice = customer(desk, service, USDT="1000")
    with step("place", alice, order_body("killed")):
        wait_for(Order.objects.exists)
    (order,) = Order.objects.all()
    assert (order.status, order.held, state(str(order.pk))) == ("PENDING", 100, "HELD")
    assert findings() == []
    with running(desk.worker):
        eventually(lambda: desk.order(str(order.pk)).status == "OPEN")
        cancel_order(alice, str(order.pk), "t")
    at_rest(service, closer, alice)
    assert service.balance(alice, "USDT") == (1000, 0)


def test_an_intake_that_the_sweep_has_given_up_holds_nothing(
    matched: Desk, service: Service, closer: Closer
) -> None:
    alice = customer(matched, service, USDT="1000")
    prepared = candidates.prepare([matched.draft(alice, "BUY", "1", "100")], matched.member(alice))
    wallet_funds.reserve(prepared)
    give_up_the_late()
    closer.run()
    with connect("exchange test intake") as connection, pytest.raises(psycopg.OperationalError):
        intake.accept(connection, prepared, [])
    assert not Order.objects.exists()
    at_rest(service, closer, alice)
    assert service.balance(alice, "USDT") == (1000, 0)


@pytest.mark.parametrize(
    "point",
    [
        "posting",
        pytest.param("stall_before", marks=LONG),
        pytest.param("stall_after", marks=LONG),
        pytest.param("answered", marks=LONG),
    ],
)
def test_the_sweep_is_killed(desk: Desk, service: Service, closer: Closer, point: str) -> None:
    """In its ledger transaction, before and after the service has released, and before it notes that."""
    alice, bob = customer(desk, service, USDT="1000"), customer(desk, service, BTC="5")
    with running(desk.worker):
        place(desk, bob, "SELL", "0.5", "100")
        bought = order_id(place(desk, alice, "BUY", "1", "100"))
        cancel_order(alice, bought, "t")
    if point == "posting":
        with standing("trading_posting") as one_waits, step("sweep"):
            one_waits()
    else:
        service.misbehave("/v1/release-many", "stall_after" if point == "stall_after" else "stall_before")
        with step("sweep") as process:
            service.wait_stalled()
            if point == "answered":
                with standing("trading_reservation") as one_waits:
                    service.behave()
                    one_waits()
                    process.kill()
                    sql(f"SELECT pg_terminate_backend(pid) {SESSIONS}", "exchange wallet")
    service.behave()
    assert state(bought) in ("HELD", "RELEASING")
    at_rest(service, closer, alice, bob)
    assert service.balance(alice, "USDT") == (950, 0)
    assert Posting.objects.filter(transaction__kind="RELEASE", account__user_id=alice).count() == 2


def test_the_service_is_killed_and_comes_back_with_all_it_had(
    matched: Desk, service: Service, closer: Closer
) -> None:
    alice = customer(matched, service, USDT="1000")
    resting = order_id(place(matched, alice, "BUY", "1", "100"))
    service.kill()
    with pytest.raises(WalletUnavailable):
        place(matched, alice, "BUY", "1", "100")
    cancel_order(alice, resting, "t")  # needs no wallet
    with pytest.raises(WalletUnavailable):
        closer.run()
    assert state(resting) == "RELEASING"
    service.start()
    at_rest(service, closer, alice)
    assert service.balance(alice, "USDT") == (1000, 0)


# The reconciliation finds what is wrong, and nothing else


def a_market(desk: Desk, service: Service) -> tuple[str, str]:
    """An open order that has traded, all settled: who has it, and the order."""
    alice, bob = customer(desk, service, USDT="1000"), customer(desk, service, BTC="5")
    bought = order_id(place(desk, alice, "BUY", "2", "100"))
    place(desk, bob, "SELL", "1", "100")
    return alice, bought


def command(*arguments: str) -> tuple[int, str]:
    """Exit code and what it prints."""
    out = StringIO()
    code: Any = 0
    try:
        call_command("reconcile_wallet", "--grace=0", *arguments, stdout=out, stderr=StringIO())
    except SystemExit as ended:
        code = ended.code
    return code, out.getvalue()


def test_the_command_says_that_nothing_differs(matched: Desk, service: Service, closer: Closer) -> None:
    _, bought = a_market(matched, service)
    assert [(f.kind, f.reservation) for f in findings() if f.reservation == bought] == [("unsettled", bought)]
    settle(service)
    closer.run()
    assert command() == (0, "1 reservations compared: nothing differs\n")
    assert command("--all") == (0, "2 reservations compared: nothing differs\n")
    assert json.loads(command("--json")[1]) == {"compared": 1, "clean": True, "findings": [], "repaired": []}


def test_what_is_forgotten_at_the_service_is_found_and_released(
    matched: Desk, service: Service, closer: Closer
) -> None:
    alice, _ = a_market(matched, service)
    settle(service)
    closer.run()
    stray = uuid7()
    item = {"reservation_id": stray, "user": alice, "asset": "USDT", "amount": "7"}
    service.act("/v1/reserve-many", item)
    code, said = command("--repair", "--dry-run")
    assert code == 1 and f"forgotten  {stray}  7 is reserved" in said and "would be released" in said
    assert not Reservation.objects.filter(pk=stray).exists()
    code, said = command("--repair")
    assert code == 0 and "1 are to be released" in said
    before = service.balance(alice, "USDT")
    closer.run()
    assert service.balance(alice, "USDT") == (before[0] + 7, before[1] - 7)
    assert findings() == []


def test_a_release_that_the_service_lost_is_found_and_repeated(
    matched: Desk, service: Service, closer: Closer
) -> None:
    alice, bought = a_market(matched, service)
    settle(service)
    cancel_order(alice, bought, "t")
    closer.close()
    sql("UPDATE trading_reservation SET state = 'RELEASED' WHERE id = %s", bought)
    closer.release()
    (finding,) = [each for each in findings(everything=False) if each.reservation == bought]
    assert finding == Finding("forgotten", bought, "100 is reserved, and was released here")
    assert command("--repair")[0] == 0
    at_rest(service, closer, alice)


def test_what_the_service_refuses_to_release_waits_for_people_and_holds_up_nothing(
    matched: Desk, service: Service, closer: Closer
) -> None:
    alice = customer(matched, service, USDT="1000")
    stuck, other = (order_id(place(matched, alice, "BUY", "1", "100")) for _ in range(2))
    service.correct("UPDATE reservation SET state = 'RELEASED' WHERE id = ?", stuck)
    cancel_all_orders(alice, None, "t")
    closer.run()
    closer.run()
    assert (state(stuck), state(other)) == ("RELEASING", "RELEASED")
    assert Finding("late", stuck, "RELEASING differs") in findings()
    service.correct("UPDATE reservation SET state = 'HELD' WHERE id = ?", stuck)
    closer.run()
    assert state(stuck) == "RELEASING", "it is tried once a minute"
    sql("UPDATE trading_reservation SET updated_at = updated_at - interval '1 minute'")
    at_rest(service, closer, alice)
    assert service.balance(alice, "USDT") == (1000, 0)


def test_an_order_without_funds_is_found(matched: Desk, service: Service, closer: Closer) -> None:
    alice, bought = a_market(matched, service)
    settle(service)
    closer.run()
    service.act("/v1/release-many", {"reservation_id": bought, "amount": "100"})
    assert findings() == [Finding("unfunded", bought, "HELD here, RELEASED there")]
    assert command("--repair")[0] == 1
    cancel_order(alice, bought, "t")
    at_rest(service, closer, alice)


DIFFERENCES = [
    ("UPDATE reservation SET amount = '201' WHERE id = ?", "differs", "USDT here, 201 USDT there"),
    ("UPDATE reservation SET asset = 'BTC' WHERE id = ?", "differs", "200 BTC there"),
    ("UPDATE reservation SET consumed = '101' WHERE id = ?", "differs", "101 was consumed there"),
    ("UPDATE reservation SET consumed = '99' WHERE id = ?", "unsettled", "99 was consumed there"),
    ("DELETE FROM reservation WHERE id = ?", "unfunded", "HELD here, unknown there"),
    ("UPDATE balance SET reserved = '101' WHERE asset = 'USDT' AND '' <> ?", "held_twice", "101 USDT is"),
]


def test_what_differs_is_named(matched: Desk, service: Service, closer: Closer) -> None:
    _, bought = a_market(matched, service)
    settle(service)
    closer.run()
    assert findings() == []
    for statement, kind, detail in DIFFERENCES:
        with service.changed(statement, bought):
            named = [each for each in findings() if each.kind == kind and detail in each.detail]
            assert named, (statement, findings())
    assert findings() == []


def test_the_command_ends_with_2_if_it_could_not_compare(
    desk: Desk, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.misbehave("/v1/reservations", "error_before", count=2)
    with pytest.raises(CommandError, match="nothing was compared: The bank's wallet") as failed:
        command()
    assert failed.value.returncode == 2
    with pytest.raises(CommandError) as failed:
        command("--dry-run")
    assert failed.value.returncode == 2
    monkeypatch.setattr(reconcile_wallet, "env", env)
    with pytest.raises(CommandError, match="WALLET is not http"):
        command()


DAMAGE = [
    ("UPDATE trading_reservation SET amount = amount + 1 WHERE id = %s", "of 201, and 200 came into"),
    ("UPDATE trading_reservation SET state = 'RELEASED', surplus = 1 WHERE id = %s", "although its funds"),
    ("DELETE FROM trading_reservation WHERE id = %s", "reserves what no reservation knows of"),
    ("DELETE FROM trading_transaction WHERE id = %s", "HELD, and its funds never came in"),
]


def damaged(rule: str, statement: str, order: str) -> str | None:
    """The first breach of a rule after `statement`, of which nothing stays."""
    with connect("exchange test vandal") as connection:
        connection.execute("BEGIN")
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(statement, [order])
        found = check.run(connection, check.load("wallet"), lambda what: None)
        (first,) = [finding.first for finding in found if finding.rule.name == rule]
        connection.execute("ROLLBACK")
    return first


def test_verify_names_what_is_broken(matched: Desk, service: Service, closer: Closer) -> None:
    alice, bought = a_market(matched, service)
    for statement, broken in DAMAGE:
        first = damaged("reservations_of_orders", statement, bought)
        assert first is not None and broken in first
    cancel_order(alice, bought, "t")
    closer.close()
    statement = (
        "UPDATE trading_posting SET amount = amount + 1 WHERE amount = -100 AND transaction_id ="
        " (SELECT release_id FROM trading_reservation WHERE id = %s)"
    )
    first = damaged("releases_of_orders", statement, bought)
    assert first is not None and first.startswith(f"reservation {bought}: 99 left account")


# The contract, as the reference service keeps it


def test_the_same_key_is_answered_alike_and_another_request_under_it_is_refused(service: Service) -> None:
    user, name = uuid7(), uuid7()
    service.deposit(user, USDT="10")
    item = {"reservation_id": name, "user": user, "asset": "USDT", "amount": "4"}
    first = service.act("/v1/reserve-many", item, key="a-key")
    service.kill()
    service.start()
    assert service.act("/v1/reserve-many", item, key="a-key") == first
    assert service.balance(user, "USDT") == (6, 4)
    other = service.post("/v1/reserve-many", {"items": [item | {"amount": "5"}]}, key="a-key")
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert httpx.get(f"{service.url}/v1/balances").status_code == 401
    bodies: list[Any] = [
        {},
        {"items": []},
        {"items": [{"amount": "1"}]},
        {"items": [item | {"amount": "-1"}]},
    ]
    for body in bodies:
        assert service.post("/v1/reserve-many", body).status_code == 400


def test_releases_are_final_and_a_reserve_that_comes_after_is_refused(service: Service) -> None:
    user, name = uuid7(), uuid7()
    service.deposit(user, USDT="10")
    item = {"reservation_id": name, "user": user, "asset": "USDT", "amount": "4"}

    def act(verb: str, item: dict[str, str]) -> tuple[str, str]:
        (answer,) = service.act(f"/v1/{verb}-many", item)["items"]
        return answer["status"], answer.get("reason", "")

    assert act("release", {"reservation_id": name, "amount": "4"}) == ("RELEASED", "")
    assert act("reserve", item) == ("REFUSED", "released")
    other = item | {"reservation_id": uuid7()}
    assert act("reserve", other) == act("reserve", other) == ("HELD", "")
    assert act("reserve", other | {"amount": "5"}) == ("REFUSED", "differs")
    assert act("reserve", item | {"reservation_id": uuid7(), "amount": "7"}) == (
        "REFUSED",
        "insufficient_funds",
    )
    left = {"reservation_id": other["reservation_id"], "amount": "3"}
    assert act("release", left | {"amount": "5"}) == ("REFUSED", "differs")
    assert act("release", left) == act("release", left) == ("RELEASED", "")
    assert act("release", left | {"amount": "2"}) == ("REFUSED", "differs")
    assert service.balance(user, "USDT") == (9, 1)  # which a trade is to consume


# WALLET=ledger


def test_without_it_an_order_makes_no_request_and_no_further_statement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    statements: list[str] = []
    requests: list[str] = []
    run, send = Transaction._run, httpx.Client.send

    def counted(self: Transaction, sql: str, params: Any) -> Any:
        statements.append(" ".join(sql.split()[:3]))
        return run(self, sql, params)

    def sent(self: httpx.Client, request: httpx.Request, **more: Any) -> httpx.Response:
        requests.append(str(request.url))
        return send(self, request, **more)

    monkeypatch.setattr(Transaction, "_run", counted)
    monkeypatch.setattr(httpx.Client, "send", sent)
    with open_desk() as desk:
        alice = desk.user(USDT="1000")
        with running(desk.worker):
            place(desk, alice, "BUY", "1", "100")  # what is read once has been read
            desk.draft(alice, "BUY", "1", "100")
        draft = desk.draft(alice, "BUY", "1", "100")
        with CaptureQueriesContext(django_connection) as read, connect("exchange test intake") as connection:
            prepared = candidates.prepare([draft], desk.member(alice))
            statements.clear()
            accepted = intake.accept(connection, prepared, [])
        assert len(accepted.pending) == 1
        assert statements == [
            "BEGIN",
            "INSERT INTO trading_clientorder",
            "SELECT id, available",
            "INSERT INTO trading_order",
            "WITH record AS",  # the audit record and its event
            "COMMIT",
        ]
        assert [each["sql"] for each in read.captured_queries if "reservation" in each["sql"]] == []
        assert not Reservation.objects.exists()
        assert tasks.wallet() == 0
        assert requests == []
        intake.intake()._connection.close()  # type: ignore[union-attr]
