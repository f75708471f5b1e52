"""A market goes to another symbol group with its orders, whichever process is killed meanwhile."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from exchange.base.database import connect
from exchange.embedded.stack import PROJECT
from matching import stream
from matching.codec import Envelope
from matching.core.commands import Adopt, Release
from matching.models import Checkpoint, JournalBatch, SymbolGroup
from matching.snapshot import SnapshotWriter
from matching.worker import Overtaken, Worker
from tests.commands import environment
from tests.market import GROUP, SYMBOL, Desk, eventually, open_desk, running, sql
from trading.markets.move import CannotMove, Moved, wait
from trading.markets.move import move as move_market
from trading.markets.status_control import UnknownMarket
from trading.models import Instrument, Move, Order, PendingCommand, Trade
from trading.orders import resend
from trading.reference.catalog import catalog
from trading.settlement.group_settlement import GroupSettlement
from trading.verify import report
from trading.verify.journal import Batch, batches

pytestmark = pytest.mark.django_db(transaction=True)

OTHER = "beta"


@pytest.fixture
def desk(transactional_db: None) -> Iterator[Desk]:
    """Two groups; after each test the whole database must be as `verify` wants it."""
    with open_desk() as desk:
        SymbolGroup.objects.create(name=OTHER)
        yield desk
        result = report.run(lambda what: None, replay=True)
        broken = [finding for finding in result.findings if finding.result == "breach"]
        assert {finding.rule.name: finding.first for finding in broken} == {}


@contextmanager
def worker_of(group: str, desk: Desk) -> Iterator[Worker]:
    """One that does what it is told, as the desk's own."""
    settlement = GroupSettlement(group, lambda: connect(f"exchange test {group}"))
    worker = Worker(group, settlement, desk.client, SnapshotWriter(desk.client, group))
    try:
        worker._take_over()
        yield worker
    finally:
        settlement.close()


def move(to: str, symbol: str = SYMBOL) -> Moved:
    with transaction.atomic():
        return move_market(symbol, to, reason="too busy here", by="test")


def priorities() -> list[tuple[str, int]]:
    rows = Order.objects.filter(closed_at=None, priority__isnull=False).order_by("priority")
    return [(str(order.pk), order.priority or 0) for order in rows]


def process(worker: Worker, *envelopes: Envelope) -> None:
    worker._process("0-0", list(envelopes))


# What moves, and how it goes on


def test_orders_keep_their_places_and_trades_their_numbers(desk: Desk) -> None:
    sellers = [desk.user(BTC="10") for _ in range(3)]
    buyer = desk.user(USDT="10000")
    orders = [desk.trade(seller, "SELL", "1", "100") for seller in sellers[:2]]
    stop = desk.trade(sellers[0], "SELL", "1", stop="50")
    desk.trade(buyer, "BUY", "0.4", "100")
    before = priorities()
    moved = move(OTHER)
    assert (moved.orders, moved.commands) == (3, 0)
    assert priorities() == before
    catalog.clear_cache()
    with worker_of(OTHER, desk) as other:
        third = desk.place(sellers[2], "SELL", "1", "100")
        process(other, third)
        process(other, desk.place(buyer, "BUY", "1.8", "100"))
        process(other, desk.trigger(stop, "50"))
    filled = [desk.order(order).filled_quantity for order in (*orders, third.command.id)]
    assert filled == [1, 1, Decimal("0.2")]
    assert desk.order(stop).status == "CANCELLED"  # there was no bid
    assert list(Trade.objects.order_by("number").values_list("number", flat=True)) == [1, 2, 3, 4]


def test_there_and_back_again(desk: Desk) -> None:
    """The other group has counted much less, or much more."""
    users = [desk.user(BTC="10", USDT="10000") for _ in range(4)]
    orders = [desk.trade(user, "SELL", "1", "100") for user in users[:3]]
    for to in (OTHER, GROUP, OTHER, GROUP):
        move(to)
    catalog.clear_cache()
    desk.take_over()
    late = desk.trade(users[0], "SELL", "1", "100")
    desk.trade(users[3], "BUY", "3.5", "100")
    assert [desk.order(order).status for order in orders] == ["FILLED"] * 3
    assert desk.order(late).filled_quantity == Decimal("0.5")
    assert Move.objects.count() == 4


def test_the_old_worker_can_settle_nothing_after_it(desk: Desk) -> None:
    """It has the book in memory, and a command of before that it was about to settle."""
    seller, buyer = desk.user(BTC="10"), desk.user(USDT="1000")
    desk.trade(seller, "SELL", "1", "100")
    on_the_way = desk.place(buyer, "BUY", "1", "100")
    move(OTHER)
    with pytest.raises(Overtaken):
        desk.match(on_the_way)
    assert desk.order(on_the_way.command.id).status == "PENDING"
    assert not Trade.objects.exists()
    with worker_of(OTHER, desk) as other:
        process(other, *other._settlement.inbox())
    assert desk.order(on_the_way.command.id).status == "FILLED"


def test_commands_on_their_way_go_along(desk: Desk) -> None:
    """Those that wait are the new group's; one that comes to the old group's worker later is passed on."""
    user = desk.user(BTC="10", USDT="1000")
    resting = desk.trade(user, "SELL", "1", "100")
    cancel = desk.cancel(resting)
    assert move(OTHER).commands == 1
    assert PendingCommand.objects.get(pk=cancel.command.id).group == OTHER
    desk.take_over()
    late = [
        desk.place(user, "BUY", "1", "90"),
        desk.cancel_all(user),
    ]  # from a process that does not know of it
    desk.match(*late)
    assert set(PendingCommand.objects.values_list("group", flat=True)) == {OTHER}
    with worker_of(OTHER, desk) as other:
        process(other, *other._settlement.inbox())
    assert not PendingCommand.objects.exists()
    assert {order.status for order in Order.objects.all()} == {"CANCELLED"}


def test_the_sweep_finds_commands_that_were_written_for_the_old_group(desk: Desk) -> None:
    user = desk.user(BTC="10")
    resting = desk.trade(user, "SELL", "1", "100")
    finder = resend.UnacknowledgedCommands()
    finder.find()
    move(OTHER)
    cancel, late = desk.cancel(resting), desk.place(user, "SELL", "1", "101")
    sql("UPDATE trading_pendingcommand SET created_at = created_at - interval '1 minute'")
    catalog.clear_cache()
    found = finder.find(now=resend.datetime.now(resend.UTC) + 2 * resend.AGE)
    assert found == {OTHER: [cancel, late]}
    with worker_of(OTHER, desk) as other:
        process(other, *found[OTHER])
    assert not PendingCommand.objects.exists()


def test_running_workers_hand_over_by_themselves(desk: Desk) -> None:
    """Also the books that readers see."""
    seller, buyer = desk.user(BTC="10"), desk.user(USDT="10000")
    with running(desk.worker), worker_of(OTHER, desk) as other, running(other):
        rests = desk.place(seller, "SELL", "3", "100")
        stream.send(desk.client, {GROUP: [rests]})
        eventually(lambda: desk.order(rests.command.id).status == "OPEN")
        moved = move(OTHER)
        assert wait(moved)
        buys = desk.place(buyer, "BUY", "1", "100")
        stream.send(desk.client, {GROUP: [buys]})  # sent by one that does not know of the move
        eventually(lambda: desk.order(buys.command.id).status == "FILLED")
        epoch = Checkpoint.objects.get(group_id=OTHER).epoch
        eventually(lambda: _book(desk) == (epoch, [["100.00", "2.0000"]]))
        eventually(lambda: SYMBOL not in {name for name, _ in desk.worker._snapshots.symbols.values()})


def _book(desk: Desk) -> tuple[int, list[list[str]]]:
    book = json.loads(desk.client.get(f"book:{SYMBOL}") or b"{}")
    return book.get("epoch", 0), book.get("asks", [])


# What is refused


def test_what_cannot_be_moved_is_explained(desk: Desk) -> None:
    for to, symbol, error, said in (
        ("gamma", SYMBOL, CannotMove, "there are: alpha, beta"),
        (GROUP, SYMBOL, CannotMove, "is in alpha already"),
        (OTHER, "XRP/USDT", UnknownMarket, "there are: BTC/USDT"),
    ):
        with pytest.raises(error, match=said):
            move(to, symbol)
    with pytest.raises(ValueError, match="a reason"), transaction.atomic():
        move_market(SYMBOL, OTHER, reason="  ", by="test")
    assert not Move.objects.exists()


def test_a_move_that_does_not_commit_leaves_no_trace(desk: Desk) -> None:
    user = desk.user(BTC="10")
    with transaction.atomic():
        move_market(SYMBOL, OTHER, reason="try", by="test")
        transaction.set_rollback(True)
    desk.trade(user, "SELL", "1", "100")
    assert Instrument.objects.get().group_id == GROUP


def test_the_database_takes_no_move_that_the_journals_do_not_tell_of(desk: Desk) -> None:
    instrument = Instrument.objects.get()
    desk.trade(desk.user(BTC="10"), "SELL", "1", "100")
    facts = {"instrument": instrument, "from_group_id": GROUP, "to_group_id": OTHER, "by": "psql"}
    with pytest.raises(IntegrityError, match="must be the newest batch of both journals"):
        Move.objects.create(**facts, released=1, adopted=0, reason="none", trace_id="x")
    move(OTHER)
    with pytest.raises(IntegrityError, match="changes by a move alone"):  # the move of another transaction
        Instrument.objects.update(group_id=GROUP)
    with pytest.raises(IntegrityError, match="append-only"):
        Move.objects.update(reason="another")
    with pytest.raises(IntegrityError, match="append-only"):
        Move.objects.all().delete()


def test_both_journals_tell_of_it(desk: Desk) -> None:
    move(OTHER)
    found = [(batch.group, [type(envelope.command) for envelope in batch.envelopes]) for batch in _batches()]
    assert found == [(GROUP, [Release]), (OTHER, [Adopt])]


def _batches() -> list[Batch]:
    with connect("exchange test journal") as connection, connection.transaction():
        return list(batches(connection))


# Under load, with processes that are killed


@contextmanager
def matcher(group: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A matcher in a process of its own; the last of the list is the one that runs."""
    running: list[subprocess.Popen[bytes]] = []
    start(group, running)
    try:
        yield running
    finally:
        running[-1].send_signal(signal.SIGTERM)
        for process in running:
            process.wait(20)


def start(group: str, running: list[subprocess.Popen[bytes]]) -> None:
    command = [sys.executable, "manage.py", "matcher", "--group", group]
    running.append(subprocess.Popen(command, cwd=PROJECT, env=environment(), stderr=subprocess.DEVNULL))


def test_moves_under_load_while_matchers_are_killed(desk: Desk) -> None:
    """Each order is matched once, by whichever group has its market then."""
    desk.settlement.close()
    chance = random.Random(7)
    users = [desk.user(USDT="1000000", BTC="1000") for _ in range(3)]
    placed: list[str] = []

    def trade() -> None:
        """A few orders, sent to either group: no sender need know where the market is."""
        batch = [_order(desk, chance, users) for _ in range(10)]
        placed.extend(envelope.command.id for envelope in batch)
        stream.send(desk.client, {chance.choice([GROUP, OTHER]): batch})

    with matcher(GROUP) as alpha, matcher(OTHER) as beta:
        eventually(lambda: _epochs() == {GROUP: 2, OTHER: 1})  # the fixture's was alpha's first
        where = GROUP
        for victims in ((), (alpha,), (beta,), (alpha, beta)):
            until = time.monotonic() + 0.7
            while time.monotonic() < until:
                trade()
            where = OTHER if where == GROUP else GROUP
            for running_now in victims:
                running_now[-1].kill()
            move(where)
            trade()
            for running_now, group in ((alpha, GROUP), (beta, OTHER)):
                if running_now in victims:
                    running_now[-1].wait()
                    start(group, running_now)
        finder = resend.UnacknowledgedCommands()

        def done() -> bool:
            """The sweep, which Celery does each second."""
            catalog.clear_cache()
            if found := finder.find():
                stream.send(desk.client, found)
            return not Order.objects.filter(status="PENDING").exists()

        eventually(done)
    journalled = [
        envelope.command.id for batch in _batches() for envelope in batch.envelopes if envelope.ticket
    ]
    assert sorted(journalled) == sorted(placed)
    assert {batch.group_id for batch in JournalBatch.objects.all()} == {GROUP, OTHER}
    assert Trade.objects.count() > 20
    assert Move.objects.count() == 4


def _order(desk: Desk, chance: random.Random, users: list[str]) -> Envelope:
    side, price = chance.choice(["BUY", "SELL"]), str(100 + chance.randint(-4, 4))
    return desk.place(chance.choice(users), side, "0.5", price)


def _epochs() -> dict[str, int]:
    return dict(Checkpoint.objects.values_list("group_id", "epoch"))
