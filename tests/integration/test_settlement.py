"""Settlement on a real database: what orders hold, what trades move, and that a command takes effect once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from decimal import Decimal

import msgspec
import psycopg
import pytest
from django.db import connections

from exchange.base.database import connect, own_connection
from exchange.base.ids import uuid7
from matching.codec import Envelope
from matching.core.commands import Cancel
from matching.core.types import MarketStatus, SelfTradePrevention, TimeInForce
from matching.models import Checkpoint, JournalBatch
from matching.worker import Overtaken
from tests.market import GROUP, PATIENCE, Desk, open_desk, sql
from trading.models import Asset, FeeSchedule, Instrument, PendingCommand, Posting, Trade
from trading.orders.acceptance import accept
from trading.orders.batch import AcceptedBatch
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


def balance(available: str, held: str = "0") -> tuple[Decimal, Decimal]:
    return Decimal(available), Decimal(held)


# What an order holds


def test_a_buyer_holds_what_the_rest_may_cost_and_a_seller_the_rest(desk: Desk) -> None:
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    desk.trade(alice, "BUY", "2", "100")
    desk.trade(bob, "SELL", "3", "110")
    assert desk.balance(alice, "USDT") == balance("800", "200")
    assert desk.balance(bob, "BTC") == balance("7", "3")


def test_a_cancelled_order_gives_all_back(desk: Desk) -> None:
    alice = desk.user(USDT="1000")
    order = desk.trade(alice, "BUY", "2", "100")
    desk.match(desk.cancel(order))
    assert (desk.order(order).status, desk.order(order).reason) == ("CANCELLED", "USER_CANCELLED")
    assert desk.balance(alice, "USDT") == balance("1000")


def test_a_partial_fill_keeps_the_hold_of_the_rest_only(desk: Desk) -> None:
    """0.5 of 2 is bought at 90: the rest may cost 150, and the better price is released at once."""
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    desk.trade(bob, "SELL", "0.5", "90")
    order = desk.order(desk.trade(alice, "BUY", "2", "100"))
    assert (order.status, order.filled_quantity, order.remaining_quantity) == (
        "PARTIALLY_FILLED",
        Decimal("0.5"),
        Decimal("1.5"),
    )
    assert desk.balance(alice, "USDT") == balance("805", "150")


@pytest.mark.parametrize(
    ("quantity", "price", "time_in_force", "status", "reason", "left"),
    [
        ("2", "100", TimeInForce.IOC, "CANCELLED", "IOC_REST", "900"),
        ("2", "100", TimeInForce.FOK, "REJECTED", "FOK_UNFILLED", "1000"),
        ("1", "100", TimeInForce.FOK, "FILLED", "", "900"),
        ("2", None, None, "CANCELLED", "MARKET_REST", "900"),
        ("1", None, None, "FILLED", "", "900"),
        ("2", "99", TimeInForce.IOC, "CANCELLED", "IOC_REST", "1000"),
    ],
)
def test_what_does_not_rest_holds_nothing_afterwards(
    desk: Desk,
    quantity: str,
    price: str | None,
    time_in_force: TimeInForce | None,
    status: str,
    reason: str,
    left: str,
) -> None:
    """1 is for sale at 100."""
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    desk.trade(bob, "SELL", "1", "100")
    order = desk.order(desk.trade(alice, "BUY", quantity, price, time_in_force=time_in_force))
    assert (order.status, order.reason) == (status, reason)
    assert desk.balance(alice, "USDT") == balance(left)


def test_a_market_order_holds_up_to_its_protection_price(desk: Desk) -> None:
    """The best price is 100 and the collar 5 %."""
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    desk.trade(bob, "SELL", "1", "100")
    order = desk.place(alice, "BUY", "2").command.id
    assert desk.order(order).protection_price == 105
    assert desk.balance(alice, "USDT") == balance("790", "210")


def test_a_market_order_stays_within_its_collar(desk: Desk) -> None:
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    desk.trade(bob, "SELL", "1", "100")
    desk.trade(bob, "SELL", "1", "105.01")
    order = desk.order(desk.trade(alice, "BUY", "2"))
    assert (order.status, order.filled_quantity) == ("CANCELLED", 1)
    assert desk.balance(alice, "USDT") == balance("900")


def test_a_market_order_without_a_market_is_rejected_and_holds_nothing(desk: Desk) -> None:
    alice = desk.user(USDT="1000")
    (candidate,) = desk.accept(desk.draft(alice, "BUY", "1")).rejected
    order = desk.order(candidate.order_id)
    assert (order.status, order.reason, order.held) == ("REJECTED", "NO_LIQUIDITY", 0)
    assert desk.balance(alice, "USDT") == balance("1000")


def test_a_post_only_order_that_would_trade_is_rejected_and_holds_nothing(desk: Desk) -> None:
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    desk.trade(bob, "SELL", "1", "100")
    order = desk.order(desk.trade(alice, "BUY", "1", "100", post_only=True))
    assert (order.status, order.reason) == ("REJECTED", "POST_ONLY_WOULD_CROSS")
    assert desk.balance(alice, "USDT") == balance("1000")


def test_funds_are_held_once_however_many_ask_at_the_same_time(desk: Desk) -> None:
    """Eight intakes place an order for all that is there; one of them is accepted."""
    alice = desk.user(USDT="1000")
    desk.accept(desk.draft(alice, "BUY", "1", "99999"))  # opens the accounts
    start = threading.Barrier(8)
    outcomes: list[AcceptedBatch] = []

    def intake() -> None:
        try:
            start.wait(PATIENCE)
            outcomes.append(desk.accept(desk.draft(alice, "BUY", "10", "100")))
        finally:
            connections.close_all()

    in_parallel([intake] * 8)
    assert sum(len(outcome.pending) for outcome in outcomes) == 1
    assert [order.reason for outcome in outcomes for order in outcome.rejected] == ["INSUFFICIENT_FUNDS"] * 7
    assert desk.balance(alice, "USDT") == balance("0", "1000")


def in_parallel(tasks: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)


# Stops


def test_stops_hold_their_funds_until_they_trigger(desk: Desk) -> None:
    """A STOP at 100 may buy up to 105, a STOP_LIMIT up to its limit."""
    alice = desk.user(USDT="1000")
    stop = desk.trade(alice, "BUY", "1", stop="100")
    assert (desk.order(stop).status, desk.order(stop).protection_price) == ("PENDING_TRIGGER", 105)
    assert desk.balance(alice, "USDT") == balance("895", "105")
    desk.trade(alice, "BUY", "2", "120", stop="110")
    assert desk.balance(alice, "USDT") == balance("655", "345")


def test_a_triggered_stop_trades_and_releases_the_rest(desk: Desk) -> None:
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    stop = desk.trade(alice, "BUY", "2", stop="100")
    desk.trade(bob, "SELL", "1", "101")
    desk.match(desk.trigger(stop, "100"))
    order = desk.order(stop)
    assert (order.status, order.filled_quantity, order.trigger_price) == ("CANCELLED", 1, 100)
    assert order.triggered_at is not None
    assert desk.balance(alice, "USDT") == balance("899")


def test_a_triggered_stop_limit_rests_with_its_hold(desk: Desk) -> None:
    alice = desk.user(USDT="1000")
    stop = desk.trade(alice, "BUY", "2", "120", stop="110")
    desk.match(desk.trigger(stop, "110"))
    order = desk.order(stop)
    assert (order.status, order.price, order.priority) == ("OPEN", 120, 2)
    assert desk.balance(alice, "USDT") == balance("760", "240")


def test_a_cancelled_stop_gives_all_back(desk: Desk) -> None:
    alice = desk.user(USDT="1000")
    stop = desk.trade(alice, "BUY", "2", stop="100")
    desk.match(desk.cancel(stop))
    assert desk.order(stop).status == "CANCELLED"
    assert desk.balance(alice, "USDT") == balance("1000")


# Amendments


@pytest.mark.parametrize(
    ("price", "quantity", "waiting", "afterwards"),
    [
        ("110", None, "780 220", "780 220"),
        (None, "3", "700 300", "700 300"),
        ("90", None, "800 200", "820 180"),
        (None, "1", "800 200", "900 100"),
        ("50", "3", "750 250", "850 150"),
    ],
)
def test_an_amendment_holds_what_it_may_need_until_it_is_applied(
    desk: Desk, price: str | None, quantity: str | None, waiting: str, afterwards: str
) -> None:
    """The order buys 2 at 100."""
    alice = desk.user(USDT="1000")
    order = desk.trade(alice, "BUY", "2", "100")
    amendment = desk.amend(order, price=price, quantity=quantity)
    assert desk.balance(alice, "USDT") == balance(*waiting.split())
    desk.match(amendment)
    assert desk.balance(alice, "USDT") == balance(*afterwards.split())
    assert not PendingCommand.objects.exists()


def test_an_amendment_is_covered_whatever_fills_before_it(desk: Desk) -> None:
    """It asks for 1 more at 110, and 1.5 of 2 are sold ahead of it: the extra hold is enough."""
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    order = desk.trade(alice, "BUY", "2", "100")
    amendment = desk.amend(order, price="110", quantity="3")
    assert desk.balance(alice, "USDT") == balance("670", "330")
    desk.match(desk.place(bob, "SELL", "1.5", "100"), amendment)
    assert desk.balance(alice, "USDT") == balance("685", "165")


def test_an_amendment_into_the_market_trades(desk: Desk) -> None:
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    desk.trade(bob, "SELL", "1", "105")
    order = desk.trade(alice, "BUY", "2", "100")
    desk.match(desk.amend(order, price="110"))
    row = desk.order(order)
    assert (row.status, row.price, row.filled_quantity, row.remaining_quantity) == (
        "PARTIALLY_FILLED",
        110,
        1,
        1,
    )
    assert desk.balance(alice, "USDT") == balance("785", "110")


def test_an_amendment_that_comes_too_late_gives_its_hold_back(desk: Desk) -> None:
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    order = desk.trade(alice, "BUY", "2", "100")
    amendment = desk.amend(order, quantity="3")
    desk.match(desk.place(bob, "SELL", "2", "100"), amendment)
    row = desk.order(order)
    assert (row.status, row.quantity) == ("FILLED", 2)
    assert desk.balance(alice, "USDT") == balance("800")


def test_a_second_amendment_waits_for_the_first(desk: Desk) -> None:
    alice = desk.user(USDT="1000")
    order = desk.trade(alice, "BUY", "2", "100")
    first, second = desk.amendment(order, quantity="3"), desk.amendment(order, quantity="4")
    assert [desk.change(change).refused for change in (first, second)] == ["", "AMENDMENT_IN_PROGRESS"]
    assert desk.balance(alice, "USDT") == balance("700", "300")
    desk.match(first.envelope)


def test_an_amendment_without_funds_changes_nothing(desk: Desk) -> None:
    alice = desk.user(USDT="1000")
    order = desk.trade(alice, "BUY", "2", "100")
    assert desk.change(desk.amendment(order, quantity="11")).refused == "INSUFFICIENT_FUNDS"
    assert desk.balance(alice, "USDT") == balance("800", "200")


def test_an_amendment_that_was_reckoned_on_an_older_state_does_no_harm(desk: Desk) -> None:
    """Two requests read the order; one is applied before the other is accepted, whose extra hold was reckoned
    from an order that is no more. Whatever becomes of it, the group must go on.
    """
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    order = desk.trade(alice, "BUY", "8", "100")
    larger, smaller = desk.amendment(order, quantity="9"), desk.amendment(order, quantity="1")
    desk.match(desk.change(smaller).envelope)
    desk.trade(alice, "BUY", "8", "99")
    if not desk.change(larger).refused:
        desk.match(larger.envelope)
    assert desk.trade(bob, "SELL", "0.1", "100")


# Self-trade prevention


@pytest.mark.parametrize(
    ("prevention", "maker", "taker", "usdt", "btc"),
    [
        # 3 for sale at 100; the same user buys 2 at 110
        (SelfTradePrevention.CANCEL_NEWEST, "OPEN 3", "REJECTED 2", "1000 0", "7 3"),
        (SelfTradePrevention.CANCEL_OLDEST, "CANCELLED 3", "OPEN 2", "780 220", "10 0"),
        (SelfTradePrevention.CANCEL_BOTH, "CANCELLED 3", "CANCELLED 2", "1000 0", "10 0"),
        (SelfTradePrevention.DECREMENT, "OPEN 1", "CANCELLED 0", "1000 0", "9 1"),
    ],
)
def test_nobody_trades_with_himself(
    desk: Desk, prevention: SelfTradePrevention, maker: str, taker: str, usdt: str, btc: str
) -> None:
    alice = desk.user(USDT="1000", BTC="10")
    orders = [
        desk.trade(alice, "SELL", "3", "100"),
        desk.trade(alice, "BUY", "2", "110", prevention=prevention),
    ]
    rows = [desk.order(order) for order in orders]
    assert [f"{row.status} {row.remaining_quantity.normalize()}" for row in rows] == [maker, taker]
    assert desk.balance(alice, "USDT") == balance(*usdt.split())
    assert desk.balance(alice, "BTC") == balance(*btc.split())
    assert not Trade.objects.exists()


def test_what_prevention_took_is_not_filled(desk: Desk) -> None:
    """1 bought from bob, 1 decremented against an own order: what is left of 3 rests with its hold."""
    alice, bob = desk.user(USDT="1000", BTC="10"), desk.user(BTC="10")
    desk.trade(bob, "SELL", "1", "90")
    own = desk.trade(alice, "SELL", "1", "100")
    order = desk.trade(alice, "BUY", "3", "110", prevention=SelfTradePrevention.DECREMENT)
    row = desk.order(order)
    assert (row.status, row.quantity, row.filled_quantity, row.remaining_quantity) == (
        "PARTIALLY_FILLED",
        3,
        1,
        1,
    )
    assert (desk.order(own).status, desk.order(own).reason) == ("CANCELLED", "SELF_TRADE")
    assert desk.balance(alice, "USDT") == balance("800", "110")
    desk.match(desk.place(bob, "SELL", "1", "110"))
    row = desk.order(order)
    assert (row.status, row.filled_quantity, row.remaining_quantity) == ("CANCELLED", 2, 0)
    assert desk.balance(alice, "USDT") == balance("800")


# Fees


def test_each_side_pays_its_rate_of_what_it_receives(desk: Desk) -> None:
    """1.5 at 200: the taker pays 0.2 % of 1.5 BTC, the maker 0.1 % of 300 USDT, to the house."""
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    desk.trade(bob, "SELL", "1.5", "200")
    desk.trade(alice, "BUY", "1.5", "200")
    assert desk.balance(alice, "BTC") == balance("1.497")
    assert desk.balance(bob, "USDT") == balance("299.7")
    assert desk.house("FEES", "BTC") == balance("0.003")
    assert desk.house("FEES", "USDT") == balance("0.3")
    assert desk.house("CUSTODY", "USDT") == balance("-1000")


def test_a_fee_is_rounded_up_to_the_assets_last_place(desk: Desk) -> None:
    """0.0001 at 100.01 is 0.010001 USDT; 0.1 % of it is 0.000010001, of which USDT has six places."""
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    desk.trade(bob, "SELL", "0.0001", "100.01")
    desk.trade(alice, "BUY", "0.0001", "100.01")
    assert desk.house("FEES", "USDT") == balance("0.000011")
    assert desk.house("FEES", "BTC") == balance("0.0000002")
    assert desk.balance(bob, "USDT") == balance("0.00999")


def test_an_order_pays_the_rates_it_was_accepted_under(desk: Desk) -> None:
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    desk.trade(bob, "SELL", "1", "100")
    FeeSchedule.objects.update(maker=Decimal("0.5"), taker=Decimal("0.5"))
    desk.trade(alice, "BUY", "1", "100")
    assert desk.house("FEES", "USDT") == balance("0.1")


def test_without_fees_nothing_goes_to_the_house(desk: Desk) -> None:
    FeeSchedule.objects.update(maker=0, taker=0)
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    desk.trade(bob, "SELL", "1", "100")
    desk.trade(alice, "BUY", "1", "100")
    assert Posting.objects.filter(transaction_id=Trade.objects.get().pk).count() == 4


def test_amounts_may_be_larger_than_64_bits(desk: Desk) -> None:
    """50 of an asset of 18 places are 5 × 10^19 minor units. Who waits for the trade is told of it."""
    wei = Asset.objects.create(code="WEI", name="an asset of 18 places", scale=18)
    Instrument.objects.create(
        symbol="BTC/WEI",
        base=desk.assets["BTC"],
        quote=wei,
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.0001"),
        min_quantity=Decimal("0.0001"),
        max_quantity=Decimal(1000),
        min_notional=Decimal(1),
        group_id=GROUP,
    )
    desk.assets["WEI"] = wei
    desk.reload()
    alice, bob = desk.user(WEI="1000"), desk.user(BTC="10")
    desk.match(desk.place(bob, "SELL", "1", "50", symbol="BTC/WEI"))
    envelope = desk.place(alice, "BUY", "1", "50", symbol="BTC/WEI")
    replies = desk.replies(msgspec.structs.replace(envelope, reply_to="replies:test"))
    (reply,) = replies
    assert (reply.updates[0].status, int(reply.updates[0].notional)) == ("FILLED", 50 * 10**18)


# A command takes effect once


def test_a_command_that_comes_twice_in_a_batch_is_applied_once(desk: Desk) -> None:
    alice = desk.user(USDT="1000")
    envelope = desk.place(alice, "BUY", "2", "100")
    desk.match(envelope, envelope)
    assert applied() == 1
    assert desk.balance(alice, "USDT") == balance("800", "200")


def test_a_command_that_comes_again_later_is_not_applied(desk: Desk) -> None:
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    sell, buy = desk.place(bob, "SELL", "3", "100"), desk.place(alice, "BUY", "2", "100")
    desk.match(sell)
    desk.match(buy, sell)
    desk.match(sell, buy)
    assert (applied(), Trade.objects.count()) == (2, 1)
    assert desk.balance(alice, "USDT") == balance("800")
    cancel = desk.cancel(sell.command.id)
    desk.match(cancel, cancel)
    desk.match(cancel)
    assert applied() == 3
    assert desk.balance(bob, "BTC") == balance("8")


def test_a_command_nobody_accepted_is_not_applied(desk: Desk) -> None:
    """Made up by a person who can write to Redis."""
    alice = desk.user(USDT="1000")
    order = desk.trade(alice, "BUY", "2", "100")
    desk.match(Envelope(Cancel(uuid7(), desk.market.id, order), "trace"))
    assert (applied(), desk.order(order).status) == (1, "OPEN")


def test_an_order_of_the_same_name_is_accepted_once(desk: Desk) -> None:
    alice = desk.user(USDT="1000")
    draft = desk.draft(alice, "BUY", "1", "100", client_order_id="one")
    first, again = desk.accept(draft), desk.accept(draft)
    assert (len(first.pending), len(again.pending), len(again.known)) == (1, 0, 1)
    both = desk.accept(*[desk.draft(alice, "BUY", "1", "100", client_order_id="two")] * 2)
    assert (len(both.pending), len(both.known)) == (1, 1)
    assert desk.balance(alice, "USDT") == balance("800", "200")


def applied() -> int:
    """Commands, as the checkpoint and the journal have it."""
    checkpoint, journal = Checkpoint.objects.get(), JournalBatch.objects.order_by("-last_sequence").first()
    assert journal is not None and journal.last_sequence == checkpoint.sequence
    return checkpoint.sequence


# All or nothing


def test_a_worker_that_was_replaced_settles_nothing(desk: Desk) -> None:
    """Its connection lives, but the lock went to another: the epoch is what stops it."""
    alice = desk.user(USDT="1000")
    envelope = desk.place(alice, "BUY", "2", "100")
    assert desk.settlement._connection is not None
    desk.settlement._connection.execute("SELECT pg_advisory_unlock_all()")
    successor = GroupSettlement(GROUP, lambda: connect("exchange test successor"))
    successor.take_over()
    try:
        with pytest.raises(Overtaken, match="group alpha is past epoch 1"):
            desk.match(envelope)
    finally:
        successor.close()
    assert (Checkpoint.objects.get().epoch, Checkpoint.objects.get().sequence) == (2, 0)
    assert (desk.order(envelope.command.id).status, JournalBatch.objects.count()) == ("PENDING", 0)
    desk.take_over()
    desk.match(envelope)
    assert desk.order(envelope.command.id).status == "OPEN"


def test_a_second_worker_waits_for_the_first_and_stops_when_asked(desk: Desk) -> None:
    stop = threading.Event()
    waiting = GroupSettlement(GROUP, lambda: connect("exchange test second"), stop)
    outcome: list[str] = []

    def wait() -> None:
        try:
            waiting.take_over()
        except InterruptedError as error:
            outcome.append(str(error))
        finally:
            waiting.close()
            connections.close_all()

    thread = threading.Thread(target=wait)
    thread.start()
    desk.trade(desk.user(USDT="1000"), "BUY", "1", "100")
    stop.set()
    thread.join(PATIENCE)
    assert outcome == ["stopped while another worker owns group alpha"]
    assert Checkpoint.objects.get().epoch == 1


def test_a_settlement_that_fails_leaves_nothing_behind(desk: Desk) -> None:
    """The journal cannot be written: orders, trades, money and events stay as they were too."""
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    sell = desk.trade(bob, "SELL", "1", "100")
    envelope = desk.place(alice, "BUY", "1", "100")
    before = everything()
    connection = own_connection()
    connection.execute("BEGIN")
    connection.execute("LOCK TABLE matching_journalbatch")
    desk.impatient()
    with pytest.raises(psycopg.errors.LockNotAvailable):
        desk.match(envelope)
    connection.execute("ROLLBACK")
    assert everything() == before
    desk.take_over()
    desk.match(envelope)
    assert desk.order(sell).status == "FILLED"


def everything() -> list[object]:
    """A hash of all that a settlement writes."""
    tables = (
        "trading_order",
        "trading_trade",
        "trading_transaction",
        "trading_posting",
        "trading_account",
        "trading_pendingcommand",
        "events_outboxevent",
        "matching_journalbatch",
        "matching_checkpoint",
        "trading_instrument",
    )
    return [sql(f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t") for table in tables]


def test_a_batch_of_many_is_one_transaction(desk: Desk) -> None:
    alice, bob = desk.user(USDT="100000"), desk.user(BTC="100")
    prepared = [desk.place(bob, "SELL", "1", str(100 + n)) for n in range(10)]
    prepared += [desk.place(alice, "BUY", "10", "200")]
    prepared += [desk.cancel_all(bob)]
    desk.match(*prepared)
    assert (JournalBatch.objects.count(), applied(), Trade.objects.count()) == (1, 12, 10)
    assert desk.balance(alice, "USDT") == balance("98955")


# Halts


def test_a_halt_is_durable_and_keeps_new_orders_out(desk: Desk) -> None:
    alice = desk.user(USDT="1000")
    early = desk.place(alice, "BUY", "1", "100")
    desk.match(desk.set_status(MarketStatus.HALTED), early)
    assert Instrument.objects.get().status == "HALTED"
    assert (desk.order(early.command.id).status, desk.order(early.command.id).reason) == (
        "REJECTED",
        "MARKET_HALTED",
    )
    desk.reload()
    (late,) = desk.accept(desk.draft(alice, "BUY", "1", "100")).rejected
    assert (late.reason, desk.balance(alice, "USDT")) == ("MARKET_HALTED", balance("1000"))
    desk.match(desk.set_status(MarketStatus.TRADING))
    assert Instrument.objects.get().status == "TRADING"


def test_a_changed_batch_of_candidates_is_told_apart(desk: Desk) -> None:
    """An order that is known does not keep the others of its batch from being accepted."""
    alice = desk.user(USDT="1000")
    known = desk.draft(alice, "BUY", "1", "100", client_order_id="known")
    desk.accept(known)
    accepted = desk.accept(known, desk.draft(alice, "BUY", "1", "90"), desk.draft(alice, "BUY", "99", "100"))
    assert [len(group) for group in (accepted.known, accepted.pending, accepted.rejected)] == [1, 1, 1]
    assert accept(own_connection(), [], []).pending == []
