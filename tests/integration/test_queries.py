"""Reads of the API on a real database: whose rows, in which order, page by page, from few partitions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker

from exchange.base import ids
from marketdata.orderbook import queries as marketdata
from matching.order_status import OrderStatus
from matching.order_view import OrderView
from tests.market import SYMBOL, Desk, lasting_desk
from trading.api import queries
from trading.api.queries import OrderFilter
from trading.models import Order, Trade

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC)
DAYS = [0, 0, 2, 20, 40, 400]  # how long ago the older rows are from


@pytest.fixture(scope="module")
def desk(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Desk]:
    with lasting_desk(django_db_blocker) as desk:
        yield desk


class Names:
    """Alice has bought and sold, has orders in every state, and was here long ago; Bob is the other side."""

    def __init__(self, desk: Desk) -> None:
        self.alice = desk.user(USDT="100000", BTC="10", ETH="1")
        self.bob = desk.user(USDT="100000", BTC="10")
        self.nobody = desk.user()
        self.old_trades = [old_trade(desk, number, days) for number, days in enumerate(reversed(DAYS), 1)]
        self.old_orders = [old_order(desk, self.alice, number, days) for number, days in enumerate(DAYS)]
        for trade in self.old_trades:
            Trade.objects.filter(pk=trade).exists()
        with connection.cursor() as cursor:
            cursor.execute("SELECT max(number) FROM trading_trade")
            desk.worker._engine.books[desk.market.id].last_trade_number = cursor.fetchone()[0]
        self.resting = desk.trade(self.bob, "SELL", "1", "100")
        self.bought = desk.trade(self.alice, "BUY", "0.4", "101")
        self.sold_to = desk.trade(self.bob, "BUY", "0.2", "95")
        self.sold = desk.trade(self.alice, "SELL", "0.1", "95")
        self.waiting = desk.trade(self.alice, "BUY", "2", "90.5")
        self.second = desk.trade(self.alice, "BUY", "1", "90.5")
        self.deeper = desk.trade(self.alice, "BUY", "3", "90")
        self.stop = desk.trade(self.alice, "BUY", "1", stop="150")
        self.cancelled = desk.trade(self.alice, "BUY", "1", "80")
        desk.match(desk.cancel(self.cancelled))
        self.of_alice = [
            self.cancelled,
            self.stop,
            self.deeper,
            self.second,
            self.waiting,
            self.sold,
            self.bought,
            *self.old_orders,
        ]


def id_of(days: int, number: int) -> UUID:
    """An id made `days` ago."""
    return UUID(int=ids.floor(NOW - timedelta(days=days, seconds=60 - number)).int + number * 256)


def old_order(desk: Desk, user: str, number: int, days: int) -> str:
    made = ids.moment(id_of(days, 30 - number))
    order = Order.objects.create(
        id=id_of(days, 30 - number),
        number=-number,
        user_id=user,
        instrument_id=desk.market.id,
        client_order_id=f"old-{number}",
        side="BUY",
        type="LIMIT",
        time_in_force="GTC",
        prevention="CANCEL_NEWEST",
        price=Decimal("12.3400"),
        quantity=Decimal("1.5"),
        remaining_quantity=0,
        filled_quantity=Decimal("1.5"),
        filled_notional=Decimal("18.51"),
        status="FILLED",
        hold_account_id=0,
        receive_account_id=0,
        maker_fee_rate=0,
        taker_fee_rate=0,
        created_at=made + timedelta(milliseconds=20),
        updated_at=made,
        closed_at=made,
    )
    return str(order.pk)


def old_trade(desk: Desk, number: int, days: int) -> str:
    """Between people who are not here any more."""
    trade = Trade.objects.create(
        id=id_of(days, number),
        number=number,
        instrument_id=desk.market.id,
        price=1,
        quantity=1,
        buyer_order_id=id_of(days, 50),
        seller_order_id=id_of(days, 51),
        buyer_id=id_of(1000, 1),
        seller_id=id_of(1000, 2),
        is_buyer_maker=True,
        buyer_fee=0,
        seller_fee=0,
        executed_at=ids.moment(id_of(days, number)),
    )
    return str(trade.pk)


@pytest.fixture(scope="module")
def names(desk: Desk) -> Names:
    return Names(desk)


def pages(read: Callable[[UUID | None, int], list[Any]], key: Callable[[Any], Any], limit: int) -> list[str]:
    """The keys of all rows, read page by page."""
    keys: list[str] = []
    before = None
    while True:
        rows = read(before, limit)
        keys += [str(key(row)) for row in rows[:limit]]
        if len(rows) <= limit:
            return keys
        assert len(rows) == limit + 1
        before = UUID(keys[-1])


def order_ids(user: str, limit: int = 100, **wanted: Any) -> list[str]:
    return pages(
        lambda before, most: queries.orders(user, OrderFilter(**wanted), before, most),
        lambda order: order.order_id,
        limit,
    )


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_own_orders_newest_first(names: Names, limit: int) -> None:
    assert order_ids(names.alice, limit) == names.of_alice
    assert order_ids(names.bob, limit) == [names.sold_to, names.resting]
    assert order_ids(names.nobody, limit) == []


def test_orders_by_status_and_market(desk: Desk, names: Names) -> None:
    waiting = [names.deeper, names.second, names.waiting]
    assert order_ids(names.alice, statuses={OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED}) == waiting
    assert order_ids(names.alice, statuses={OrderStatus.PENDING_TRIGGER}, market=desk.market) == [names.stop]
    filled = [names.sold, names.bought, *names.old_orders]
    assert order_ids(names.alice, statuses={OrderStatus.FILLED}, limit=3) == filled
    assert order_ids(names.alice, statuses={OrderStatus.FILLED, OrderStatus.CANCELLED})[0] == names.cancelled
    assert order_ids(names.alice, statuses={OrderStatus.REJECTED}) == []


def test_orders_by_time_go_by_when_they_were_placed(names: Names) -> None:
    placed = {order.order_id: order.created_at for order in all_orders(names.alice)}
    for border in (names.old_orders[3], names.old_orders[-1], names.bought):
        moment = datetime.fromisoformat(placed[border])
        position = names.of_alice.index(border)
        assert order_ids(names.alice, since=moment) == names.of_alice[: position + 1]
        assert order_ids(names.alice, until=moment) == names.of_alice[position + 1 :]
        assert order_ids(names.alice, since=moment, until=moment + timedelta(microseconds=1)) == [border]


def all_orders(user: str) -> list[OrderView]:
    return queries.orders(user, OrderFilter(), None, 500)


def test_an_order_of_another_is_not_found(names: Names) -> None:
    found = queries.order(names.alice, UUID(names.bought))
    assert found is not None
    assert (found.status, found.average_price, found.fee) == ("FILLED", "100", "0.0008")
    assert queries.order(names.bob, UUID(names.bought)) is None
    assert queries.order(names.alice, id_of(3, 3)) is None


def test_an_old_order_in_plain_decimals(names: Names) -> None:
    found = queries.order(names.alice, UUID(names.old_orders[-1]))
    assert found is not None
    assert (found.price, found.quantity, found.remaining_quantity) == ("12.34", "1.5", "0")
    assert (found.average_price, found.stop_price, found.reason) == ("12.34", None, None)


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_trades_of_a_market_by_number(desk: Desk, names: Names, limit: int) -> None:
    keys = pages(
        lambda before, most: queries.market_trades(desk.market, before, most),
        lambda trade: trade.pk,
        limit,
    )
    numbers = [Trade.objects.get(pk=key).number for key in keys]
    assert numbers == list(range(len(DAYS) + 2, 0, -1))
    assert queries.market_trades(desk.market, id_of(3, 3), 10) == []


@pytest.mark.parametrize("limit", [1, 100])
def test_own_trades_bought_and_sold(desk: Desk, names: Names, limit: int) -> None:
    def own(user: str, market: Any = None) -> list[str]:
        return pages(
            lambda before, most: queries.own_trades(user, market, before, most),
            lambda trade: trade.pk,
            limit,
        )

    sold, bought = (Trade.objects.get(seller_order_id=UUID(order)) for order in (names.sold, names.resting))
    assert (
        own(names.alice) == own(names.bob) == own(names.alice, desk.market) == [str(sold.pk), str(bought.pk)]
    )
    assert own(names.nobody) == []


def test_the_latest_trades_are_read_from_the_latest_day(desk: Desk, names: Names) -> None:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert len(queries.market_trades(desk.market, None, 2)) == 3
    assert len(captured) == 1
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {captured[0]['sql']}")
        plan = json.dumps(cursor.fetchone()[0])
    touched = {part for part in partitions_of("trading_trade") if f'"{part}"' in plan}
    assert "trading_trade_default" in touched
    assert len(touched) <= 1 + 2 + 3  # the default, yesterday and today, and those made ahead


def partitions_of(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relid::regclass::text FROM pg_partition_tree(%s) WHERE level = 1", [table])
        return [name for (name,) in cursor.fetchall()]


def test_balances(names: Names) -> None:
    found = {each.asset: (each.available, each.held) for each in queries.balances(names.alice)}
    assert list(found) == ["BTC", "ETH", "USDT"]
    held = Decimal("2") * Decimal("90.5") + Decimal("90.5") + 3 * 90 + Decimal("157.5")
    assert found["BTC"] == (Decimal("10.2992"), Decimal(0))
    assert found["ETH"] == (Decimal(1), Decimal(0))
    assert found["USDT"] == (100_000 - 40 + Decimal("9.481") - held, held)
    assert queries.balances(names.nobody) == []


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_the_ledger_over_all_accounts(desk: Desk, names: Names, limit: int) -> None:
    def entries(asset: int | None) -> list[str]:
        return pages(
            lambda before, most: queries.entries(names.alice, asset, before, most),
            lambda entry: entry.id,
            limit,
        )

    everything = queries.entries(names.alice, None, None, 100)
    assert [str(entry.id) for entry in everything] == entries(None) == sorted(entries(None), reverse=True)
    assert [entry.kind for entry in everything] == ["TRADE"] * 4 + ["DEPOSIT"] * 3
    for balance in queries.balances(names.alice):
        asset = desk.assets[balance.asset].pk
        of_asset = [entry for entry in everything if entry.asset == asset]
        assert [str(entry.id) for entry in of_asset] == entries(asset)
        assert sum(entry.amount for entry in of_asset) == balance.available + balance.held
    assert queries.entries(names.nobody, None, None, 10) == []


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis does not answer, and nothing is kept from before."""
    monkeypatch.setattr(marketdata._circuit, "away", lambda: True)
    marketdata._kept.clear()


@pytest.mark.usefixtures("away")
def test_a_book_from_the_orders(names: Names) -> None:
    body = marketdata.book(SYMBOL)
    assert body is not None
    book = msgspec.json.decode(body)
    assert (book["symbol"], book["sequence"]) == (SYMBOL, None)
    assert book["bids"] == [["95.00", "0.1000"], ["90.50", "3.0000"], ["90.00", "3.0000"]]
    assert book["asks"] == [["100.00", "0.6000"]]
    cut = marketdata.book(SYMBOL, 1)
    assert cut is not None
    assert msgspec.json.decode(cut)["bids"] == [["95.00", "0.1000"]]
    assert marketdata.book("DOGE/USDT") is None


def test_the_book_from_the_snapshot_is_the_same(desk: Desk, names: Names) -> None:
    marketdata._kept.clear()
    desk.worker._snapshots.write(desk.worker._engine, 7)
    body = marketdata.book(SYMBOL)
    assert body is not None
    book = msgspec.json.decode(body)
    assert book["bids"] == [["95.00", "0.1000"], ["90.50", "3.0000"], ["90.00", "3.0000"]]
    assert book["asks"] == [["100.00", "0.6000"]]
    assert book["sequence"] == 7
