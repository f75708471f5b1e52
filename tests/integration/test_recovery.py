"""What is lost is found again: books from PostgreSQL, commands from their rows, and nothing happens twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import attrgetter

import psycopg
import pytest
import redis
from django.db import IntegrityError
from msgspec.structs import replace
from redis.backoff import NoBackoff
from redis.retry import Retry

from exchange.base import redis_keys
from exchange.base.database import connect
from exchange.base.env import env
from exchange.base.redis import Circuit
from matching import stream
from matching.codec import Envelope
from matching.core.state import state_hash
from matching.core.types import MarketStatus, SelfTradePrevention, TimeInForce
from matching.feed import BookChange
from matching.models import Checkpoint, JournalBatch, SymbolGroup
from matching.snapshot import SnapshotWriter
from matching.worker import Applied, Worker
from tests.market import GROUP, Desk, eventually, open_desk, running, sql
from trading.models import Instrument, Order, PendingCommand, Trade
from trading.orders import best_prices, dispatch, intake, pending, resend
from trading.orders.amend import amend_order
from trading.orders.cancel import cancel_order
from trading.orders.change import ChangeOutcome
from trading.orders.place import Outcome, place_orders
from trading.reference.catalog import Market, catalog
from trading.settlement import recovery
from trading.settlement.blotter import Blotter, LiveOrder, SettlementRows
from trading.settlement.group_settlement import GroupSettlement
from trading.verify import report

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(transactional_db: None) -> Iterator[Desk]:
    """After each test the whole database must be as `verify` wants it."""
    with open_desk() as desk:
        yield desk
        result = report.run(lambda what: None, replay=True)
        assert {finding.rule.name: finding.first for finding in result.findings if finding.breaches} == {}


@pytest.fixture
def door(desk: Desk) -> Iterator[Desk]:
    """The same, with the intake of this process. No worker owns the group yet."""
    desk.settlement.close()
    yield desk
    connection = intake.intake()._connection
    if connection is not None:
        connection.close()


# Books


def same_as_rebuilt(desk: Desk) -> None:
    """The worker has in memory what it would have after a crash: books, and the money side of each order."""
    catalog.clear_cache()
    market = desk.market
    with connect("exchange test recovery") as connection:
        rebuilt = recovery.load(connection, [market])
    assert state_hash(rebuilt.engine) == state_hash(desk.worker._engine)
    assert _orders(rebuilt.blotter, market) == _orders(desk.settlement._blotter, market)


def _orders(blotter: Blotter, market: Market) -> list[LiveOrder]:
    """All of one and the same `Market`, which compares by identity."""
    return [
        replace(order, market=market) for order in sorted(blotter.orders.values(), key=attrgetter("number"))
    ]


class Flow:
    """Seeded commands of all kinds, of three users who trade a lot with each other and with themselves."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk = desk
        self.random = random.Random(seed)
        self.users = [desk.user(USDT="100000", BTC="1000") for _ in range(3)]
        self.actions: list[tuple[Callable[[], Envelope | None], int]] = [
            (self.limit, 12),
            (self.market, 2),
            (self.stop, 2),
            (self.trigger, 2),
            (self.cancel, 3),
            (self.amend, 5),
            (self.cancel_all, 1),
            (self.status, 2),
        ]

    def batch(self) -> list[Envelope]:
        weights = [weight for _, weight in self.actions]
        actions = [action for action, _ in self.actions]
        sent = [action() for action in self.random.choices(actions, weights, k=self.random.randint(1, 8))]
        return [envelope for envelope in sent if envelope is not None]

    def limit(self) -> Envelope | None:
        prevention = self.random.choice(list(SelfTradePrevention))
        time_in_force = self.random.choice([TimeInForce.GTC] * 5 + [TimeInForce.IOC, TimeInForce.FOK])
        post_only = time_in_force is TimeInForce.GTC and self.random.random() < 0.1
        return self._place(
            self._price(), prevention=prevention, time_in_force=time_in_force, post_only=post_only
        )

    def market(self) -> Envelope | None:
        return self._place(None, prevention=self.random.choice(list(SelfTradePrevention)))

    def stop(self) -> Envelope | None:
        return self._place(self.random.choice([None, self._price()]), stop="100")

    def trigger(self) -> Envelope | None:
        order = self._one(status="PENDING_TRIGGER")
        return None if order is None else self.desk.trigger(str(order.pk), "100")

    def cancel(self) -> Envelope | None:
        order = self._one(closed_at=None)
        return None if order is None else self.desk.cancel(str(order.pk))

    def amend(self) -> Envelope | None:
        order = self._one(closed_at=None, status__in=["OPEN", "PARTIALLY_FILLED", "PENDING_TRIGGER"])
        if order is None or PendingCommand.objects.filter(order_id=order.pk, kind="Amend").exists():
            return None
        taken = order.quantity - order.remaining_quantity
        quantity = str(taken + Decimal(self.random.randint(1, 30)) / 10)
        price = self._price() if order.price is not None and self.random.random() < 0.6 else None
        return self.desk.amend(str(order.pk), price=price, quantity=quantity)

    def cancel_all(self) -> Envelope | None:
        return self.desk.cancel_all(self.random.choice(self.users))

    def status(self) -> Envelope | None:
        often = [MarketStatus.TRADING] * 6
        return self.desk.set_status(self.random.choice([*often, MarketStatus.POST_ONLY, MarketStatus.HALTED]))

    def _place(self, price: str | None, **more: object) -> Envelope | None:
        side, quantity = self.random.choice(["BUY", "SELL"]), str(Decimal(self.random.randint(1, 30)) / 10)
        draft = self.desk.draft(self.random.choice(self.users), side, quantity, price, **more)  # type: ignore[arg-type]
        return next((candidate.envelope("") for candidate in self.desk.accept(draft).pending), None)

    def _price(self) -> str:
        return str(100 + self.random.randint(-4, 4))

    def _one(self, **which: object) -> Order | None:
        found = list(Order.objects.filter(**which).order_by("pk"))
        return self.random.choice(found) if found else None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_books_thrown_away_and_rebuilt_are_the_same(desk: Desk, seed: int) -> None:
    flow = Flow(desk, seed)
    for number in range(50):
        desk.match(*flow.batch())
        same_as_rebuilt(desk)
        if number % 10 == 9:
            desk.take_over()
            same_as_rebuilt(desk)
    assert Trade.objects.count() > 15
    kinds = {kind for (kind,) in sql("SELECT DISTINCT status FROM trading_order")}
    assert kinds >= {"OPEN", "FILLED", "CANCELLED", "REJECTED"}


def test_orders_keep_their_places(desk: Desk) -> None:
    """At one price: first come, first served, but who asks for more goes to the back."""
    sellers = [desk.user(BTC="10") for _ in range(3)]
    buyer = desk.user(USDT="1000")
    orders = [desk.trade(seller, "SELL", "1", "100") for seller in sellers]
    desk.match(desk.amend(orders[0], quantity="2"))
    desk.match(desk.amend(orders[1], quantity="0.5"))
    desk.take_over()
    desk.trade(buyer, "BUY", "0.6", "100")
    filled = [desk.order(order).filled_quantity for order in orders]
    assert filled == [0, Decimal("0.5"), Decimal("0.1")]


def test_trade_numbers_and_sequences_go_on(desk: Desk) -> None:
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    for _ in range(3):
        desk.trade(bob, "SELL", "1", "100")
        desk.trade(alice, "BUY", "1", "100")
        desk.take_over()
    assert list(Trade.objects.order_by("number").values_list("number", flat=True)) == [1, 2, 3]
    assert (Checkpoint.objects.get().sequence, Checkpoint.objects.get().epoch) == (6, 4)


def test_a_halted_market_stays_halted(desk: Desk) -> None:
    alice = desk.user(USDT="1000")
    early = desk.place(alice, "BUY", "1", "100")
    desk.match(desk.set_status(MarketStatus.HALTED))
    desk.take_over()
    desk.match(early)
    assert desk.order(early.command.id).reason == "MARKET_HALTED"


def test_a_market_changes_its_group_by_a_move_alone(desk: Desk) -> None:
    """Two workers would own its book for a while, and the places in it are counted by the group's sequence."""
    beta = SymbolGroup.objects.create(name="beta")
    with pytest.raises(IntegrityError, match="group of instrument BTC/USDT changes by a move alone"):
        Instrument.objects.update(group=beta)
    with pytest.raises(IntegrityError, match="changes by a move alone"):
        Instrument.objects.update(place_offset=7)


def test_a_market_without_a_group_is_given_one_for_good(desk: Desk) -> None:
    old = Instrument.objects.get()
    steps = {name: getattr(old, name) for name in ("tick_size", "lot_size", "min_quantity", "max_quantity")}
    new = Instrument.objects.create(
        symbol="ETH/USDT", base=desk.assets["ETH"], quote=old.quote, min_notional=1, **steps
    )
    assert new.group_id == GROUP
    for name in ("beta", "gamma", "delta", "epsilon"):
        SymbolGroup.objects.create(name=name)
    assert Instrument.objects.get(symbol="ETH/USDT").group_id == GROUP


# Crashes


class DiesAfterCommit(GroupSettlement):
    """Its connection is lost once, right after a commit: the worker does not learn that it settled."""

    died = False

    def settle(
        self, applied: Sequence[Applied], position: str, changes: Sequence[BookChange] = ()
    ) -> SettlementRows:
        sheet = super().settle(applied, position, changes)
        if not self.died:
            self.died = True
            raise psycopg.OperationalError("the connection was lost after the commit")
        return sheet


SESSIONS = "FROM pg_stat_activity WHERE application_name = %s"


def worker_of(desk: Desk, settlement: GroupSettlement, client: redis.Redis | None = None) -> Worker:
    client = client or desk.client
    return Worker(GROUP, settlement, client, SnapshotWriter(client, GROUP))


def test_a_crash_between_commit_and_reply_loses_nothing_and_repeats_nothing(door: Desk) -> None:
    alice, bob = door.user(USDT="1000"), door.user(BTC="10")
    settlement = DiesAfterCommit(GROUP, door.settlement._connect)
    with running(worker_of(door, settlement)):
        _, (sold,) = place_orders([door.draft(bob, "SELL", "1", "100")], door.member(bob), cost=1)
        _, (bought,) = place_orders([door.draft(alice, "BUY", "1", "100")], door.member(alice), cost=1)
    assert settlement.died
    assert (sold.outcome, bought.outcome) == (Outcome.CREATED, Outcome.CREATED)
    assert bought.order is not None and bought.order.status == "FILLED"
    checkpoint = Checkpoint.objects.get()
    assert (Trade.objects.count(), checkpoint.sequence, checkpoint.epoch) == (1, 2, 3)


def test_a_crash_before_the_commit_loses_nothing_and_repeats_nothing(door: Desk) -> None:
    """PostgreSQL ends the worker's session; what was sent meanwhile is settled by the next one."""
    alice = door.user(USDT="1000")
    with running(door.worker):
        place_orders([door.draft(alice, "BUY", "1", "100")], door.member(alice), cost=1)
        sql(f"SELECT pg_terminate_backend(pid) {SESSIONS}", "exchange test matcher")
        _, (placed,) = place_orders([door.draft(alice, "BUY", "1", "90")], door.member(alice), cost=1)
    assert placed.outcome in (Outcome.CREATED, Outcome.PENDING)
    with running(door.worker):
        eventually(lambda: not Order.objects.filter(status="PENDING").exists())
    assert Order.objects.filter(status="OPEN").count() == 2
    assert Checkpoint.objects.get().sequence == 2
    assert door.balance(alice, "USDT") == (810, 190)


def test_the_next_worker_goes_on_where_the_last_one_stopped(door: Desk) -> None:
    """What came while there was none waits; what was applied is still in the stream, and not applied again."""
    alice = door.user(USDT="1000")
    with running(door.worker):
        eventually(lambda: door.client.exists(f"matcher:{GROUP}"))
        place_orders([door.draft(alice, "BUY", "1", "100")], door.member(alice), cost=1)
    assert Checkpoint.objects.get().position != "0-0"
    waiting = door.place(alice, "BUY", "1", "90")
    stream.send(door.client, {GROUP: [waiting]})
    with running(door.worker):
        eventually(lambda: door.order(waiting.command.id).status == "OPEN")
    assert door.client.xlen(redis_keys.commands(GROUP)) == 2
    assert Checkpoint.objects.get().sequence == 2


# Redis is away


@pytest.fixture
def without_redis(door: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Neither the intake nor the worker finds Redis; the worker polls the inbox."""
    dead = redis.Redis(port=1, socket_connect_timeout=0.1, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(dispatch, "client", lambda: dead)
    monkeypatch.setattr(best_prices, "client", lambda: dead)
    monkeypatch.setattr(best_prices, "_circuit", Circuit())
    monkeypatch.setattr(intake.intake()._dispatcher, "_circuit", Circuit())
    with running(worker_of(door, door.settlement, dead)):
        yield door


def test_orders_are_matched_without_redis(without_redis: Desk) -> None:
    desk = without_redis
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    _, (sold,) = place_orders([desk.draft(bob, "SELL", "3", "100")], desk.member(bob), cost=1)
    _, (bought,) = place_orders([desk.draft(alice, "BUY", "1")], desk.member(alice), cost=1)
    assert sold.order is not None and bought.order is not None
    assert (sold.order.status, bought.order.status) == ("OPEN", "FILLED")
    amended = amend_order(desk.member(bob), sold.order.order_id, price=9000, quantity=None, trace_id="t")
    assert amended.outcome is ChangeOutcome.DONE and amended.order is not None
    assert (amended.order.price, amended.order.status) == ("90", "PARTIALLY_FILLED")
    cancelled = cancel_order(bob, sold.order.order_id, "t")
    assert cancelled.outcome is ChangeOutcome.DONE and cancelled.order is not None
    assert cancelled.order.status == "CANCELLED"
    assert desk.balance(bob, "BTC") == (9, 0)
    assert not PendingCommand.objects.exists()


def test_everything_in_the_inbox_is_applied_once_and_in_order(without_redis: Desk) -> None:
    desk = without_redis
    alice = desk.user(USDT="1000")
    drafts = [desk.draft(alice, "BUY", "0.1", str(100 - number)) for number in range(30)]
    _, placed = place_orders(drafts, desk.member(alice), cost=1)
    assert {each.outcome for each in placed} == {Outcome.CREATED}
    orders = Order.objects.order_by("number")
    assert [order.priority for order in orders] == list(range(1, 31))


# Commands that got lost


def test_an_order_is_the_same_command_when_it_is_made_anew(desk: Desk) -> None:
    """From its row, whatever its type; only who waits for the reply is not known any more."""
    alice, bob = desk.user(USDT="10000"), desk.user(BTC="10")
    desk.trade(bob, "SELL", "1", "100")
    sent = [
        desk.place(alice, "BUY", "1", "99", prevention=SelfTradePrevention.DECREMENT),
        desk.place(alice, "BUY", "1", "98", post_only=True),
        desk.place(alice, "BUY", "1", "97", time_in_force=TimeInForce.FOK),
        desk.place(alice, "BUY", "2"),
        desk.place(alice, "BUY", "1", stop="120"),
        desk.place(bob, "SELL", "1", "80", stop="90"),
    ]
    again = pending.resend([desk.order(envelope.command.id) for envelope in sent])
    assert again == [(GROUP, envelope) for envelope in sent]
    desk.match(*sent)


def lost_commands() -> dict[str, list[Envelope]]:
    """As a sweep finds them a little later."""
    return resend.UnacknowledgedCommands().find(datetime.now(UTC) + resend.AGE + timedelta(seconds=1))


def test_lost_commands_are_found_and_applied_once(door: Desk) -> None:
    """Redis is flushed with an order, a cancel and an amendment in it, which were not read."""
    alice = door.user(USDT="1000")
    door.take_over()
    first, second = (door.trade(alice, "BUY", "1", price) for price in ("100", "90"))
    door.settlement.close()
    commands = [door.place(alice, "BUY", "1", "80"), door.cancel(first), door.amend(second, quantity="2")]
    stream.send(door.client, {GROUP: commands})
    door.client.flushdb()
    found = lost_commands()
    assert [envelope.command for envelope in found[GROUP]] == [envelope.command for envelope in commands]
    stream.send(door.client, found)
    stream.send(door.client, found)
    with running(door.worker):
        eventually(lambda: not lost_commands())
        stream.send(door.client, found)
        _, (marker,) = place_orders([door.draft(alice, "BUY", "1", "70")], door.member(alice), cost=1)
    assert marker.outcome is Outcome.CREATED
    assert Checkpoint.objects.get().sequence == 6
    assert [order.status for order in Order.objects.order_by("number")] == [
        "CANCELLED",
        "OPEN",
        "OPEN",
        "OPEN",
    ]
    assert door.balance(alice, "USDT") == (670, 330)


def test_a_worker_finds_changes_in_the_inbox_when_it_starts(door: Desk) -> None:
    """They need no sweep: a cancel that got lost is done as soon as there is a worker."""
    alice = door.user(USDT="1000")
    door.take_over()
    order = door.trade(alice, "BUY", "1", "100")
    door.settlement.close()
    door.cancel(order)
    with running(door.worker):
        eventually(lambda: door.order(order).status == "CANCELLED")


def test_a_cancel_brings_the_lost_order_along(door: Desk) -> None:
    """The order is PENDING, its command lost: the cancel is applied after it, not before."""
    alice = door.user(USDT="1000")
    with running(door.worker):
        eventually(lambda: door.client.exists(f"matcher:{GROUP}"))
        order = door.place(alice, "BUY", "1", "100").command.id
        cancelled = cancel_order(alice, order, "t")
    assert cancelled.outcome is ChangeOutcome.DONE
    assert door.order(order).status == "CANCELLED"
    assert JournalBatch.objects.count() == 1


def test_commands_are_applied_in_their_order_when_a_worker_starts(door: Desk) -> None:
    """An order and its cancel wait in the stream. The cancel is in the inbox too, and must not go first."""
    alice = door.user(USDT="1000")
    order = door.place(alice, "BUY", "1", "100")
    cancel = door.cancel(order.command.id)
    stream.send(door.client, {GROUP: [order]})
    stream.send(door.client, {GROUP: [cancel]})
    with running(door.worker):
        eventually(lambda: not Order.objects.filter(status="PENDING").exists())
    assert door.order(order.command.id).status == "CANCELLED"


def test_orders_that_are_not_lost_are_not_sent_again(desk: Desk) -> None:
    alice = desk.user(USDT="1000")
    desk.trade(alice, "BUY", "1", "100")
    young = desk.place(alice, "BUY", "1", "90")
    sweep = resend.UnacknowledgedCommands()
    assert sweep.find(datetime.now(UTC)) == {}
    assert [envelope.command.id for envelope in lost_commands()[GROUP]] == [young.command.id]
    assert env.exchange_order_timeout <= resend.AGE.total_seconds(), "who still waits is not overtaken"
    desk.match(young)
