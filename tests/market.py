"""A small market for tests on a real database: funded traders, BTC/USDT, the way of an order step by step.

    place → envelopes (durable, PENDING) → match (applied and settled)

`Desk` runs the very code of intake, worker and settlement on the test's own thread, so that a test can stop
between the steps. What Redis carries from one to the other is a list here. `running` is the worker as it is,
on a thread.

BTC has 8 places and USDT 6; a tick is 0.01, a lot 0.0001. Fees: 0.1 % for makers, 0.2 % for takers.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import redis
from django.core.management import call_command
from django.db import connections

from exchange.base import partitions
from exchange.base.database import connect, own_connection
from exchange.base.ids import uuid7
from exchange.base.redis import connect as connect_redis
from exchange.platform.members import authentication
from exchange.platform.members.authentication import Member
from exchange.platform.members.models import Institution, User
from matching.codec import Envelope, Reply, decode_replies
from matching.core.commands import Amend, Cancel, CancelAll, Halt, Place, Resume, Trigger
from matching.core.types import MarketStatus, OrderType, SelfTradePrevention, Side, TimeInForce
from matching.models import SymbolGroup
from matching.snapshot import SNAPSHOT_SECONDS, SnapshotWriter
from matching.worker import Worker
from trading.ledger.accounts import account_book, deposit
from trading.models import Account, Asset, FeeSchedule, Instrument, Order
from trading.models.partitions import TABLES
from trading.orders import amendment_terms, candidates
from trading.orders.acceptance import accept
from trading.orders.batch import AcceptedBatch, OrderChange
from trading.orders.order import NewOrder
from trading.reference import fee_rates
from trading.reference.catalog import Market, catalog
from trading.settlement.group_settlement import GroupSettlement

GROUP = "alpha"
SYMBOL = "BTC/USDT"
PATIENCE = 20.0  # seconds
START = "0-0"  # a position in the stream, where there is none

_names = itertools.count(1)


def sql(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """One statement past all services; its rows."""
    cursor = own_connection().execute(statement, values or None)
    return cursor.fetchall() if cursor.description else []


@contextmanager
def unguarded() -> Iterator[None]:
    """As a superuser who has switched the triggers off."""
    sql("SET session_replication_role = replica")
    try:
        yield
    finally:
        sql("SET session_replication_role = DEFAULT")


@dataclass
class Desk:
    institution: Institution
    assets: dict[str, Asset]
    worker: Worker
    settlement: GroupSettlement
    client: redis.Redis
    _members: dict[str, Member] = field(default_factory=dict)

    # -- who and what

    @property
    def market(self) -> Market:
        return self.market_of(SYMBOL)

    def market_of(self, symbol: str) -> Market:
        market = catalog.market(symbol)
        assert market is not None, symbol
        return market

    def reload(self) -> None:
        """After a change of instruments, which a worker sees when it takes over."""
        forget()
        self.take_over()

    def user(self, **funds: str) -> str:
        """A new trader with `funds` (BTC="1", USDT="1000"); the id."""
        user = User.objects.create_user(f"trader{next(_names)}@test.exchange", institution=self.institution)
        for code, amount in funds.items():
            deposit(user=user, asset=self.assets[code], amount=Decimal(amount), trace_id="funding")
        member = Member(
            str(user.pk), str(self.institution.pk), user.role, frozenset(user.permissions), 1_000_000
        )
        self._members[member.user_id] = member
        return member.user_id

    def balance(self, user: str, asset: str) -> tuple[Decimal, Decimal]:
        """Available and held."""
        return self._balance(user_id=user, asset__code=asset)

    def house(self, kind: str, asset: str) -> tuple[Decimal, Decimal]:
        """Available and held of a house account: FEES or CUSTODY."""
        return self._balance(kind=kind, institution=self.institution, asset__code=asset)

    def _balance(self, **which: Any) -> tuple[Decimal, Decimal]:
        account = Account.objects.filter(**which).first()
        return (
            (account.available.normalize(), account.held.normalize()) if account else (Decimal(0), Decimal(0))
        )

    def member(self, user: str) -> Member:
        return self._members[user]

    # -- intake

    def draft(
        self,
        user: str,
        side: str,
        quantity: str,
        price: str | None = None,
        *,
        stop: str | None = None,
        symbol: str = SYMBOL,
        client_order_id: str | None = None,
        time_in_force: TimeInForce | None = None,
        post_only: bool = False,
        prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST,
    ) -> NewOrder:
        """LIMIT, or MARKET without a price; with `stop`, STOP_LIMIT or STOP."""
        kinds = {
            (False, False): OrderType.MARKET,
            (True, False): OrderType.LIMIT,
            (False, True): OrderType.STOP,
            (True, True): OrderType.STOP_LIMIT,
        }
        market = self.market_of(symbol)
        lots = market.scale.to_lots(Decimal(quantity))
        ticks = 0 if price is None else market.scale.to_ticks(Decimal(price))
        stop_ticks = 0 if stop is None else market.scale.to_ticks(Decimal(stop))
        assert lots is not None and ticks is not None and stop_ticks is not None, "in steps of the market"
        name = client_order_id or f"order-{next(_names)}"
        terms = Place(
            id="",
            instrument=market.id,
            user=user,
            side=Side[side],
            type=kinds[price is not None, stop is not None],
            time_in_force=time_in_force or (TimeInForce.IOC if price is None else TimeInForce.GTC),
            price=ticks,
            quantity=lots,
            stop_price=stop_ticks,
            post_only=post_only,
            prevention=prevention,
        )
        return NewOrder(market, terms, name, hash((user, side, quantity, price, stop)), f"trace-{name}")

    def accept(self, *drafts: NewOrder) -> AcceptedBatch:
        """The intake transaction, for orders of one user."""
        prepared = candidates.prepare(drafts, self.member(drafts[0].terms.user))
        return accept(own_connection(), prepared, [])

    def place(self, user: str, side: str, quantity: str, price: str | None = None, **more: Any) -> Envelope:
        """A durable order, and the command that is on its way to the matcher. It must not be turned away."""
        accepted = self.accept(self.draft(user, side, quantity, price, **more))
        (candidate,) = accepted.pending
        return candidate.envelope("")

    def change(self, change: OrderChange) -> OrderChange:
        accept(own_connection(), [], [change])
        return change

    def cancel(self, order: str) -> Envelope:
        command = Cancel(uuid7(), self.market.id, order)
        return self.change(OrderChange(GROUP, Envelope(command, "trace-cancel"), order)).envelope

    def cancel_all(self, user: str) -> Envelope:
        return self.change(
            OrderChange(GROUP, Envelope(CancelAll(uuid7(), self.market.id, user), "trace-all"))
        ).envelope

    def trigger(self, order: str, price: str) -> Envelope:
        ticks = self.market.scale.to_ticks(Decimal(price))
        assert ticks is not None
        command = Trigger(uuid7(), self.market.id, order, ticks, self.market.collar_ppm)
        return self.change(OrderChange(GROUP, Envelope(command, "trace-trigger"), order)).envelope

    def set_status(self, status: MarketStatus) -> Envelope:
        command: Halt | Resume = Halt(uuid7(), self.market.id, status)
        if status is MarketStatus.TRADING:
            command = Resume(uuid7(), self.market.id)
        return self.change(OrderChange(GROUP, Envelope(command, "trace-status"))).envelope

    def amendment(self, order: str, *, price: str | None = None, quantity: str | None = None) -> OrderChange:
        """What intake would ask for, from what it reads now; not yet accepted."""
        row = Order.objects.get(pk=order)
        scale = self.market.scale
        terms = amendment_terms.terms(
            row,
            None if price is None else scale.to_ticks(Decimal(price)),
            None if quantity is None else scale.to_lots(Decimal(quantity)),
        )
        assert not terms.refused, terms.refused
        return amendments_change(row, terms)

    def amend(self, order: str, *, price: str | None = None, quantity: str | None = None) -> Envelope:
        change = self.change(self.amendment(order, price=price, quantity=quantity))
        assert not change.refused, change.refused
        return change.envelope

    # -- worker

    def take_over(self) -> None:
        """Own the group under a new epoch, with books from PostgreSQL."""
        self.worker._take_over()

    def match(self, *envelopes: Envelope) -> None:
        """Apply one batch and settle it. After a failure the worker must take over again."""
        self.worker._process(START, list(envelopes))

    def replies(self, *envelopes: Envelope) -> list[Reply]:
        """The same with Redis, and what the channel `replies:test` is told."""
        with self.client.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe("replies:test")
            channel.get_message(timeout=PATIENCE)
            self.worker._connected = True
            self.match(*envelopes)
            message = channel.get_message(timeout=PATIENCE)
        assert message is not None, "nobody was told"
        return decode_replies(message["data"])

    def impatient(self) -> None:
        """The worker's statements fail rather than wait for a lock."""
        assert self.settlement._connection is not None
        self.settlement._connection.execute("SET lock_timeout = '100ms'")

    def trade(self, user: str, side: str, quantity: str, price: str | None = None, **more: Any) -> str:
        """Place and match; the order's id."""
        envelope = self.place(user, side, quantity, price, **more)
        self.match(envelope)
        return envelope.command.id

    def order(self, order: str) -> Order:
        return Order.objects.get(pk=order)


def amendments_change(order: Order, terms: amendment_terms.AmendmentTerms) -> OrderChange:
    """As `amend.amend_order` makes it."""
    command = Amend(uuid7(), order.instrument_id, str(order.pk), terms.worst_price, terms.quantity)
    change = OrderChange(GROUP, Envelope(command, "trace-amend"), str(order.pk))
    change.hold_account, change.reckoned_from = order.hold_account_id, terms.reckoned_from
    change.hold, change.hold_scale = terms.extra_hold, terms.scale
    return change


@contextmanager
def open_desk() -> Iterator[Desk]:
    """A desk on an empty database and an empty Redis. The worker owns the group."""
    partitions.ensure(TABLES)
    institution = Institution.objects.create(code="bank", name="Bank")
    group = SymbolGroup.objects.create(name=GROUP)
    assets = {
        code: Asset.objects.create(code=code, name=code, scale=scale)
        for code, scale in (("BTC", 8), ("USDT", 6), ("ETH", 8))
    }
    Instrument.objects.create(
        symbol=SYMBOL,
        base=assets["BTC"],
        quote=assets["USDT"],
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.0001"),
        min_quantity=Decimal("0.0001"),
        max_quantity=Decimal("1000"),
        min_notional=Decimal("1"),
        group=group,
    )
    FeeSchedule.objects.create(institution=institution, maker=Decimal("0.001"), taker=Decimal("0.002"))
    forget()
    client = connect_redis(socket_timeout=SNAPSHOT_SECONDS + 1)
    client.flushdb()
    settlement = GroupSettlement(GROUP, lambda: connect("exchange test matcher"))
    desk = Desk(
        institution,
        assets,
        Worker(GROUP, settlement, client, SnapshotWriter(client, GROUP)),
        settlement,
        client,
    )
    desk.take_over()
    try:
        yield desk
    finally:
        settlement.close()
        client.close()
        forget()


def forget() -> None:
    """Nothing that was read from an earlier database."""
    catalog.clear_cache()
    account_book.clear_cache()
    authentication.clear_cache()
    fee_rates._kept._read_at = float("-inf")


@contextmanager
def running(worker: Worker) -> Iterator[None]:
    """The worker on a thread of its own, as its process runs it; what ends it ends the test."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            worker.run(stop)
        except BaseException as error:
            failed.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, name="matcher")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the worker does not stop"
        if failed:
            raise failed[0]


def eventually(condition: Callable[[], object]) -> None:
    """Wait for what another thread does. Raises AssertionError if it does not come."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError(f"not within {PATIENCE} s")


@contextmanager
def lasting_desk(blocker: Any) -> Iterator[Desk]:
    """A desk for all tests of a module, which leave nothing behind: they roll back, or are refused."""
    with blocker.unblock():
        try:
            with open_desk() as desk:
                yield desk
        finally:
            call_command(
                "flush", verbosity=0, interactive=False, allow_cascade=True, inhibit_post_migrate=True
            )
