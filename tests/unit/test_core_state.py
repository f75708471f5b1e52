"""Export, restore and hash; the invariants' own teeth; and how much memory a full book takes."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest

from matching.core.book import Book
from matching.core.engine import Engine
from matching.core.invariants import check
from matching.core.level import Order
from matching.core.state import BookState, digest, export, restore, state_hash
from matching.core.types import MarketStatus, OrderType, Side, TimeInForce
from tests.unit.market import GTC, IOC, Market, fills


def busy_market() -> Market:
    """Both sides, a partly filled order, one amended to the back, stops armed and triggered, post-only."""
    market = Market()
    market.buy("ann-1", 5, 99)
    market.buy("bob-1", 5, 99)
    market.buy("ann-2", 5, 98, post_only=True)
    market.sell("cat-1", 5, 101)
    market.sell("cat-2", 2, 99)
    market.amend("ann-1", 9, 99)
    market.buy("dan-1", 5, 120, OrderType.STOP, stop_price=110)
    market.sell("dan-2", 5, 105, OrderType.STOP_LIMIT, stop_price=90)
    market.sell("dan-3", 5, 104, OrderType.STOP_LIMIT, stop_price=90)
    market.trigger("dan-3")
    market.halt(MarketStatus.POST_ONLY)
    return market


def rebuilt(market: Market) -> Book:
    """The book from its orders' fields in order of priority, as recovery reads them from a database."""
    old = market.book
    book = Book(1, old.status, old.last_trade_number)
    for order in sorted([*old.orders.values(), *old.stops.values()], key=lambda order: order.priority):
        fields = msgspec.structs.asdict(order) | {"newer": None, "older": None}
        book.restore_order(Order(**fields), armed=order.id in old.stops)
    return book


def zoe(side: Side, price: int, priority: int, time_in_force: TimeInForce = GTC) -> Order:
    """An order of one lot that no command has brought in."""
    return Order(
        "zoe-1", 1, "zoe", side, OrderType.LIMIT, time_in_force, price, 1, remaining=1, priority=priority
    )


def test_a_restored_engine_has_the_same_hash_and_goes_on_alike() -> None:
    market = busy_market()
    stored = msgspec.msgpack.encode(export(market.engine))
    other = Market()
    other.engine = restore(msgspec.msgpack.decode(stored, type=list[BookState]))
    other.book, other.sequence = other.engine.books[1], market.sequence
    check(other.book)
    assert state_hash(other.engine) == state_hash(market.engine)
    for both in (market, other):
        both.resume()
        both.trigger("dan-1")
    assert market.sell("eve-1", 99, 1, time_in_force=IOC) == other.sell("eve-1", 99, 1, time_in_force=IOC)
    assert state_hash(other.engine) == state_hash(market.engine)


def test_a_book_rebuilt_from_its_orders_has_the_same_hash() -> None:
    market = busy_market()
    book = rebuilt(market)
    check(book)
    assert state_hash(book) == state_hash(market.book)
    assert digest(export(book)) == state_hash(book)


def test_the_hash_does_not_depend_on_the_way_to_the_state() -> None:
    one, other = Market(), Market()
    one.buy("ann-1", 5, 99)
    one.buy("ann-2", 1, 90)
    one.cancel("ann-2")
    other.buy("ann-1", 5, 99)
    assert state_hash(one.book) == state_hash(other.book)


@pytest.mark.parametrize(
    "change",
    [
        lambda market: market.buy("ann-9", 1, 50),
        lambda market: market.cancel("dan-1"),
        lambda market: market.amend("ann-2", 4, 98),
        lambda market: market.resume(),
        lambda market: setattr(market.book, "last_trade_number", 99),
        lambda market: setattr(market.book.orders["ann-2"], "post_only", False),
        lambda market: setattr(market.book.stops["dan-1"], "stop_price", 1),
    ],
)
def test_the_hash_sees_every_part_of_the_state(change: Callable[[Market], object]) -> None:
    market = busy_market()
    market.resume()
    market.halt(MarketStatus.POST_ONLY)
    before = state_hash(market.engine)
    change(market)
    assert state_hash(market.engine) != before


def test_an_engine_exports_its_books_by_instrument() -> None:
    engine = Engine(map(Book, (2, 1)))
    assert [state.instrument for state in export(engine)] == [1, 2]
    assert state_hash(engine) == state_hash(restore(export(engine)))


def test_orders_are_restored_by_rising_priority() -> None:
    book = rebuilt(busy_market())
    late = Order("eve-1", 1, "eve", Side.BUY, OrderType.LIMIT, GTC, 99, 5, remaining=5, priority=1)
    with pytest.raises(AssertionError):
        book.restore_order(late)


@pytest.mark.parametrize(
    "damage",
    [
        lambda book: setattr(book.bids.best, "total", 1),
        lambda book: setattr(book.orders["bob-1"], "remaining", 0),
        lambda book: setattr(book.orders["bob-1"], "priority", 99),
        lambda book: setattr(book.orders["bob-1"], "price", 98),
        lambda book: setattr(book.orders["cat-1"], "side", Side.BUY),
        lambda book: book.orders.pop("bob-1"),
        lambda book: book.by_user.pop("ann"),
        lambda book: book.by_user.update({"zoe": {}}),
        lambda book: book.stops.update({"bob-1": book.orders["bob-1"]}),
        lambda book: setattr(book.bids.best, "tail", None),
        lambda book: book.rest(zoe(Side.SELL, 97, 99)),
        lambda book: book.rest(zoe(Side.BUY, 9, 2)),
        lambda book: book.rest(zoe(Side.BUY, 9, 99, IOC)),
    ],
)
def test_the_invariants_notice(damage: Callable[[Book], object]) -> None:
    book = busy_market().book
    check(book)
    damage(book)
    with pytest.raises(AssertionError):
        check(book)


def test_a_hundred_thousand_resting_orders_take_less_than_150_megabytes() -> None:
    market = Market()
    tracemalloc.start()
    for number in range(100_000):
        price = 1_000_000 - number % 5_000
        user, order = (
            f"0190a0b0-0000-7000-8000-{number % 20_000:012}",
            f"0190a0b0-1111-7000-8000-{number:012}",
        )
        market.book.rest(
            Order(
                order,
                1,
                user,
                Side.BUY,
                OrderType.LIMIT,
                GTC,
                price,
                10**9,
                remaining=10**9 - number,
                priority=number + 1,
            )
        )
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    check(market.book)
    assert used < 150_000_000


def test_a_long_queue_is_taken_in_a_time_that_grows_with_its_length_only() -> None:
    """20 000 orders at one price, cancelled from the middle outwards: any walk along the queue would show."""
    market = Market()
    for number in range(20_000):
        place = number + 1
        market.book.rest(
            Order(
                f"ann-{number}", 1, "ann", Side.BUY, OrderType.LIMIT, GTC, 100, 1, remaining=1, priority=place
            )
        )
    for step in range(9_999):
        for number in (10_000 + step, 9_999 - step):
            market.book.remove(market.book.orders[f"ann-{number}"])
    assert market.bids == [(100, 2)]
    assert fills(market.sell("bob-1", 2, 100)) == [("ann-0", 1, 100), ("ann-19999", 1, 100)]


def test_nothing_is_left_of_a_book_that_goes() -> None:
    """The links between its orders are circles that no garbage collector looks at."""
    tracemalloc.start()
    market = busy_market()
    del market
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(50):
        busy_market()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 5_000, "less than a hundred bytes a book"
