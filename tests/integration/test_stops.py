"""Stops on a real database and a real Redis: what a price lets go, once, and a watch list that heals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
import redis
from django.db import connections

from exchange.base import redis_keys
from exchange.base.database import connect, own_connection
from matching.codec import Envelope
from matching.core.commands import Trigger
from matching.core.types import MarketStatus, Side
from matching.stream import CommandStream
from tests.market import GROUP, PATIENCE, START, SYMBOL, Desk, open_desk, sql
from trading import tasks
from trading.models import Order, PendingCommand
from trading.orders import resend
from trading.orders.stored import order_view
from trading.reference.catalog import catalog
from trading.stops import check, rebuild, watchlist
from trading.stops.check import Checker
from trading.verify import report

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(transactional_db: None) -> Iterator[Desk]:
    """The worker tells Redis. After each test the whole database must be as `verify` wants it."""
    with open_desk() as desk:
        desk.worker._connected = True
        yield desk
        result = report.run(lambda what: None, replay=True)
        assert {finding.rule.name: finding.first for finding in result.findings if finding.breaches} == {}


@pytest.fixture
def checker(desk: Desk) -> Iterator[Checker]:
    """It has looked at everything once."""
    checker = Checker(desk.client, connect)
    checker.run()
    yield checker
    checker.close()


@pytest.fixture
def maker(desk: Desk) -> str:
    """Bids 1 at 99 and asks 1 at 101; the middle is 100."""
    user = desk.user(BTC="100", USDT="100000")
    desk.trade(user, "BUY", "1", "99")
    desk.trade(user, "SELL", "1", "101")
    return user


def tick(desk: Desk, price: str) -> None:
    """What the price process writes."""
    desk.client.hset(redis_keys.STOP_PRICES, SYMBOL, price)
    desk.client.sadd(redis_keys.STOPS_MOVED, SYMBOL)


def sent(desk: Desk) -> list[Envelope]:
    return CommandStream(desk.client, GROUP).read(START, 1)[1]


def listed(desk: Desk) -> dict[Side, set[str]]:
    return {side: set().union(*watchlist.members(desk.client, SYMBOL, side, 100)) for side in Side}


def status(order: str) -> str:
    return str(Order.objects.get(pk=order).status)


def triggered(desk: Desk) -> list[str]:
    """The orders that triggers were sent for, in the order of the stream."""
    return [e.command.order for e in sent(desk) if isinstance(e.command, Trigger)]


def told(order: str) -> list[str]:
    """The statuses of an order that other systems are told of."""
    rows = sql(
        "SELECT message::jsonb -> 'payload' ->> 'status' FROM events_outboxevent "
        "WHERE message::jsonb -> 'payload' ->> 'order_id' = %s ORDER BY id",
        order,
    )
    return [row[0] for row in rows]


# What a price lets go


@pytest.mark.parametrize(
    ("side", "limit", "not_yet", "goes_at", "trigger_price"),
    [
        ("BUY", None, "104.999", "105", "105"),
        ("BUY", "106", "104.999", "107.123456", "107.12"),
        ("SELL", None, "95.001", "95", "95"),
        ("SELL", "94", "95.001", "92.987654", "92.99"),
    ],
)
def test_a_stop_goes_when_the_price_reaches_it(
    desk: Desk, checker: Checker, side: str, limit: str | None, not_yet: str, goes_at: str, trigger_price: str
) -> None:
    """A price between two ticks never lets one go too early; the tick on the near side is the trigger price."""
    user = desk.user(BTC="10", USDT="10000")
    stop = desk.trade(user, side, "1", limit, stop="105" if side == "BUY" else "95")
    view = order_view(desk.order(stop))
    assert (view.status, view.trigger_price, view.triggered_at) == ("PENDING_TRIGGER", None, None)
    tick(desk, not_yet)
    assert checker.run() == 0
    tick(desk, goes_at)
    assert checker.run() == 1
    (envelope,) = sent(desk)
    assert envelope.trace_id == desk.order(stop).trace_id
    desk.match(envelope)
    view = order_view(desk.order(stop))
    assert (view.trigger_price, view.stop_price) == (trigger_price, "105" if side == "BUY" else "95")
    assert view.triggered_at == view.updated_at
    assert view.status == ("OPEN" if limit else "CANCELLED")  # a market order with no one to trade with
    assert told(stop) == ["PENDING_TRIGGER", "TRIGGERED", view.status]
    assert listed(desk) == {Side.BUY: set(), Side.SELL: set()}


def test_a_stop_becomes_a_market_order_that_respects_the_collar(
    desk: Desk, checker: Checker, maker: str
) -> None:
    """The best ask is 101, the collar 5 %: 106 is within it, 107 is not."""
    desk.trade(maker, "SELL", "1", "106")
    desk.trade(maker, "SELL", "1", "107")
    user = desk.user(USDT="1000")
    stop = desk.trade(user, "BUY", "3", stop="104")
    assert desk.balance(user, "USDT") == (Decimal("672.4"), Decimal("327.6"))  # 3 × 104 × 1.05 is held
    tick(desk, "104")
    checker.run()
    desk.match(*sent(desk))
    order = desk.order(stop)
    assert (order.status, order.reason) == ("CANCELLED", "MARKET_REST")
    assert (order.filled_quantity, order.filled_notional) == (Decimal(2), Decimal(207))
    assert order.trigger_price == Decimal(104) and order.triggered_at is not None
    assert desk.balance(user, "USDT") == (Decimal(793), Decimal(0))


def test_a_stop_limit_fills_and_its_rest_stands_in_the_book(desk: Desk, checker: Checker, maker: str) -> None:
    user = desk.user(BTC="10")
    stop = desk.trade(user, "SELL", "3", "98", stop="100")
    tick(desk, "99.5")
    checker.run()
    desk.match(*sent(desk))
    order = desk.order(stop)
    assert (order.status, order.filled_quantity) == ("PARTIALLY_FILLED", Decimal(1))
    desk.trade(maker, "BUY", "2", "98")
    assert (status(stop), desk.balance(user, "BTC")) == ("FILLED", (Decimal(7), Decimal(0)))


def test_those_reached_first_go_first_and_of_equals_the_oldest(
    desk: Desk, checker: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts of two, so that more than one look is needed."""
    monkeypatch.setattr(watchlist, "AT_ONCE", 2)
    user = desk.user(BTC="10", USDT="10000")
    buys = [desk.trade(user, "BUY", "0.1", stop=price) for price in ("103", "102", "102", "101", "110")]
    sells = [desk.trade(user, "SELL", "0.1", stop=price) for price in ("103", "104", "104", "105", "90")]
    tick(desk, "103")
    assert checker.run() == 8
    gone = triggered(desk)
    assert [order for order in gone if order in buys] == [buys[3], buys[1], buys[2], buys[0]]
    assert [order for order in gone if order in sells] == [sells[3], sells[1], sells[2], sells[0]]
    assert listed(desk) == {Side.BUY: {buys[4]}, Side.SELL: {sells[4]}}


def test_a_stop_beyond_the_price_already_goes_at_the_next_check(desk: Desk, checker: Checker) -> None:
    tick(desk, "100")
    checker.run()
    stop = desk.trade(desk.user(USDT="1000"), "BUY", "1", stop="99")
    checker.run()
    assert triggered(desk) == [stop]


def test_without_a_price_nothing_goes_and_rubbish_is_none(desk: Desk, checker: Checker) -> None:
    desk.trade(desk.user(USDT="1000"), "BUY", "1", stop="99")
    assert checker.run() == 0
    for rubbish in ("", "NaN", "-5", "0", "1e400", "Infinity", "price"):
        tick(desk, rubbish)
        assert checker.run() == 0
    desk.client.hset(redis_keys.STOP_PRICES, "XXX/YYY", "100")
    desk.client.sadd(redis_keys.STOPS_MOVED, "XXX/YYY")
    assert checker.run() == 0


def test_a_cancelled_stop_is_watched_no_more_and_an_amended_one_still_is(
    desk: Desk, checker: Checker
) -> None:
    user = desk.user(USDT="1000")
    cancelled = desk.trade(user, "BUY", "1", "106", stop="105")
    amended = desk.trade(user, "BUY", "1", "106", stop="105")
    desk.match(desk.cancel(cancelled), desk.amend(amended, price="107", quantity="2"))
    assert listed(desk)[Side.BUY] == {amended}
    assert desk.balance(user, "USDT") == (Decimal(786), Decimal(214))
    tick(desk, "105")
    checker.run()
    desk.match(*sent(desk))
    order = desk.order(amended)
    assert (order.status, order.price, order.quantity) == ("OPEN", Decimal(107), Decimal(2))
    assert status(cancelled) == "CANCELLED"


def test_of_a_cancel_and_a_trigger_the_first_wins(desk: Desk, checker: Checker) -> None:
    user = desk.user(USDT="1000")
    stop = desk.trade(user, "BUY", "1", "106", stop="105")
    tick(desk, "105")
    checker.run()
    (trigger,) = sent(desk)
    desk.match(desk.cancel(stop), trigger)
    order = desk.order(stop)
    assert (order.status, order.trigger_price) == ("CANCELLED", None)
    assert not PendingCommand.objects.exists()


# When the market does not trade


@pytest.mark.parametrize(
    "restriction", [MarketStatus.POST_ONLY, MarketStatus.CANCEL_ONLY, MarketStatus.HALTED]
)
def test_stops_wait_while_the_market_does_not_trade(
    desk: Desk, checker: Checker, restriction: MarketStatus
) -> None:
    """When it resumes, the price of then counts: one that was reached meanwhile only stays armed."""
    user = desk.user(USDT="10000")
    near = desk.trade(user, "BUY", "1", "120", stop="105")
    far = desk.trade(user, "BUY", "1", "120", stop="110")
    desk.match(desk.set_status(restriction))
    catalog.clear_cache()
    for price in ("111", "106"):
        tick(desk, price)
        assert checker.run() == 0
    desk.match(desk.set_status(MarketStatus.TRADING))
    catalog.clear_cache()
    assert checker.run() == 1
    assert triggered(desk) == [near]
    assert listed(desk)[Side.BUY] == {far}


def test_a_trigger_that_a_halt_overtook_is_sent_again_when_the_market_resumes(
    desk: Desk, checker: Checker
) -> None:
    """The check still believes that the market trades."""
    stop = desk.trade(desk.user(USDT="1000"), "BUY", "1", "106", stop="105")
    checker.run()
    desk.match(desk.set_status(MarketStatus.HALTED))
    tick(desk, "105")
    assert checker.run() == 1
    desk.match(*sent(desk))
    assert status(stop) == "PENDING_TRIGGER"
    assert listed(desk)[Side.BUY] == {stop}
    catalog.clear_cache()
    assert checker.run() == 0
    desk.match(desk.set_status(MarketStatus.TRADING))
    catalog.clear_cache()
    assert checker.run() == 1
    desk.match(sent(desk)[-1])
    assert status(stop) == "OPEN"


# Once, whatever happens


def test_killed_before_the_stop_was_taken_off_the_list(
    desk: Desk, checker: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds the command there and sends none; the sweep sends what was not sent."""
    stop = desk.trade(desk.user(USDT="1000"), "BUY", "1", "106", stop="105")
    checker.run()

    def die(*args: object) -> bool:
        raise KeyboardInterrupt

    tick(desk, "105")
    monkeypatch.setattr(checker._dispatcher, "send", die)
    with pytest.raises(KeyboardInterrupt):
        checker.run()
    assert listed(desk)[Side.BUY] == {stop}

    other = Checker(desk.client, connect)  # nothing is marked as moved any more
    assert other.run() == 0
    other.close()
    assert (sent(desk), listed(desk)[Side.BUY]) == ([], set())
    found = resend.UnacknowledgedCommands().find(datetime.now(UTC) + resend.AGE + timedelta(seconds=1))
    desk.match(*found[GROUP])
    assert (status(stop), desk.order(stop).trigger_price) == ("OPEN", Decimal(105))


def test_a_trigger_that_comes_twice_is_applied_once(desk: Desk, checker: Checker) -> None:
    stop = desk.trade(desk.user(USDT="1000"), "BUY", "1", "106", stop="105")
    tick(desk, "105")
    checker.run()
    (trigger,) = sent(desk)
    desk.match(trigger, trigger)
    desk.match(trigger)
    watchlist.arm(desk.client, SYMBOL, Side.BUY, stop, 10_500)  # as a list would have it that is too old
    assert checker.run() == 0
    assert listed(desk)[Side.BUY] == set()
    assert status(stop) == "OPEN"


def test_two_checks_at_once_send_each_trigger_once(desk: Desk, checker: Checker) -> None:
    user = desk.user(USDT="100000")
    stops = {desk.trade(user, "BUY", "0.1", stop="105") for _ in range(40)}
    desk.client.hset(redis_keys.STOP_PRICES, SYMBOL, "105")
    ready = threading.Barrier(2, timeout=PATIENCE)
    counts: list[int] = []

    def run() -> None:
        fresh = Checker(desk.client, connect)  # looks at everything
        try:
            ready.wait()
            counts.append(fresh.run())
        finally:
            fresh.close()
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sum(counts) == len(stops)
    assert sorted(triggered(desk)) == sorted(stops)


def test_without_redis_triggers_wait_in_the_inbox(
    desk: Desk, checker: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gone after the look at the list: the next check looks at everything, and none goes twice."""
    stop = desk.trade(desk.user(USDT="1000"), "BUY", "1", "106", stop="105")
    tick(desk, "105")

    def fail(*args: object) -> None:
        raise redis.ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(check.watchlist, "disarm", fail)
        with pytest.raises(redis.ConnectionError):
            checker.run()
    assert len(desk.settlement.inbox()) == 1
    assert checker.run() == 0
    assert listed(desk)[Side.BUY] == set()
    desk.match(*desk.settlement.inbox())
    assert status(stop) == "OPEN"


def test_without_postgresql_the_next_check_does_it(desk: Desk, checker: Checker) -> None:
    stop = desk.trade(desk.user(USDT="1000"), "BUY", "1", "106", stop="105")
    tick(desk, "105")
    checker._live().execute("SET statement_timeout = '1ms'")
    with own_connection().transaction():
        sql("LOCK TABLE trading_order IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.QueryCanceled):
            checker.run()
    assert checker.run() == 1
    assert triggered(desk) == [stop]


# The watch list heals


@pytest.fixture
def some(desk: Desk) -> dict[Side, set[str]]:
    """Seven stops a side, and what must not be listed: one cancelled, one gone, a limit order."""
    user = desk.user(BTC="100", USDT="100000")
    stops = {
        Side.BUY: {desk.trade(user, "BUY", "0.1", "150", stop=f"{110 + n}") for n in range(7)},
        Side.SELL: {desk.trade(user, "SELL", "0.1", "50", stop=f"{90 - n}") for n in range(7)},
    }
    desk.match(desk.cancel(desk.trade(user, "BUY", "0.1", stop="120")))
    desk.match(desk.trigger(desk.trade(user, "BUY", "0.1", "20", stop="130"), "130"))
    desk.trade(user, "BUY", "0.1", "20")
    return stops


def test_redis_is_emptied(desk: Desk, checker: Checker, some: dict[Side, set[str]]) -> None:
    assert listed(desk) == some
    for _ in range(2):
        desk.client.flushdb()
        checker.run()
        assert listed(desk) == some
    tick(desk, "111")
    assert checker.run() == 2
    assert desk.client.zscore(watchlist.key(SYMBOL, Side.SELL), min(some[Side.SELL])) == -9000


def test_a_rebuild_is_in_chunks_between_which_what_moved_is_checked(
    desk: Desk, checker: Checker, some: dict[Side, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "CHUNK", 3)
    desk.client.flushdb()
    sizes = []
    for _ in rebuild.rebuild(desk.client, connect, [desk.market]):
        sizes.append(sum(map(len, listed(desk).values())))
        if len(sizes) == 2:
            known = listed(desk)[Side.BUY]
            tick(desk, "200")  # beyond all buyers' stops
            assert checker._check(set()) == len(known)
    assert sizes[:2] == [3, 6]
    assert watchlist.built(desk.client) == {SYMBOL}
    checker.run()
    assert {*triggered(desk)} == some[Side.BUY]
    assert listed(desk) == {Side.BUY: set(), Side.SELL: some[Side.SELL]}


@pytest.mark.parametrize("happens", ["invalidated", "emptied"])
def test_what_is_invalidated_while_it_is_read_is_read_again(
    desk: Desk, checker: Checker, some: dict[Side, set[str]], happens: str
) -> None:
    desk.client.flushdb()
    parts = rebuild.rebuild(desk.client, connect, [desk.market])
    next(parts)
    if happens == "invalidated":
        watchlist.invalidate(desk.client, [SYMBOL])
    else:
        desk.client.flushdb()
    assert list(parts) == []
    assert watchlist.built(desk.client) == set()
    checker.run()
    assert (watchlist.built(desk.client), listed(desk)) == ({SYMBOL}, some)


def test_one_rebuilds_at_a_time(desk: Desk, checker: Checker, some: dict[Side, set[str]]) -> None:
    desk.client.flushdb()
    first = rebuild.rebuild(desk.client, connect, [desk.market])
    next(first)
    assert list(rebuild.rebuild(desk.client, connect, [desk.market])) == []
    first.close()
    assert checker.run() == 0
    assert listed(desk) == some


def test_the_count_of_each_minute_finds_one_too_few_and_one_too_many(
    desk: Desk, checker: Checker, some: dict[Side, set[str]]
) -> None:
    checker.run()
    assert tasks.count_stops() == []
    missing, stale = min(some[Side.BUY]), desk.trade(desk.user(USDT="1000"), "BUY", "1", "20")
    watchlist.disarm(desk.client, SYMBOL, Side.BUY, [missing])
    assert tasks.count_stops() == [SYMBOL]
    checker.run()
    assert listed(desk) == some
    watchlist.add(desk.client, SYMBOL, Side.SELL, {stale: 1})
    assert tasks.count_stops() == [SYMBOL]
    checker.run()
    assert listed(desk) == some
    assert tasks.count_stops() == []


def test_a_trigger_on_its_way_is_no_difference(
    desk: Desk, checker: Checker, some: dict[Side, set[str]]
) -> None:
    tick(desk, "112")
    assert checker.run() == 3
    assert tasks.count_stops() == []
    assert sql("SELECT count(*) FROM trading_pendingcommand") == [(3,)]


def test_a_worker_that_finds_redis_again_has_the_list_read_anew(
    desk: Desk, checker: Checker, some: dict[Side, set[str]]
) -> None:
    checker.run()
    desk.client.delete(watchlist.key(SYMBOL, Side.BUY))
    desk.settlement.found_redis(desk.client)
    assert watchlist.built(desk.client) == set()
    checker.run()
    assert listed(desk) == some


def test_the_task_says_what_went_wrong_and_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: Checker) -> int:
        raise redis.ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(Checker, "run", fail)
        assert tasks.check_stops() == 0
    assert "stops could not be checked" in caplog.text
    stop = desk.trade(desk.user(USDT="1000"), "BUY", "1", stop="99")
    tick(desk, "100")
    assert tasks.check_stops() == 1
    assert triggered(desk) == [stop]
    tasks._checker().close()
