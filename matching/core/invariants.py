"""What must be true of a book between any two commands.

Rules of this file: it reads, and asserts. A failed assertion means that the core is broken (or that
recovery restored nonsense): the worker must end, not go on. It finds its way by walking everything, so
it depends on none of the indexes that it checks.

Known limitation. It walks all orders: some 0.3 s per 100 000, so it is for tests and `verify`, not
for every command in production.
"""

from __future__ import annotations

from matching.core.book import Book
from matching.core.level import Ladder, Level, Order
from matching.core.types import Side, TimeInForce


def check(book: Book) -> None:
    """Assert every invariant; the message names the order or level that breaks one."""
    check_not_crossed(book)
    resting = [*check_ladder(book.bids, Side.BUY), *check_ladder(book.asks, Side.SELL)]
    check_stops(book)
    check_indexes(book, resting)
    assert book.last_trade_number >= 0, book.last_trade_number


def check_not_crossed(book: Book) -> None:
    bid, ask = book.best_bid, book.best_ask
    assert bid is None or ask is None or bid < ask, f"crossed: bid {bid}, ask {ask}"


def check_ladder(ladder: Ladder, side: Side) -> list[Order]:
    """Prices get worse from level to level; gives the orders found, best first."""
    levels = list(ladder)
    prices = [level.price for level in levels]
    assert prices == sorted(set(prices), reverse=side is Side.BUY), (
        f"{side.name} prices out of order: {prices}"
    )
    assert len(ladder) == len(levels)
    assert ladder.best is (levels[0] if levels else None)
    return [order for level in levels for order in check_level(level, side)]


def check_level(level: Level, side: Side) -> list[Order]:
    orders = list(level)
    assert orders, f"empty level at {level.price}"
    assert level.total == sum(order.remaining for order in orders), f"total at {level.price}: {level.total}"
    assert level.head is orders[0], level.price
    assert level.tail is orders[-1], level.price
    older = None
    for order in orders:
        assert order.older is older, order
        assert older is None or older.priority < order.priority, (older, order)
        assert order.side is side, order
        assert order.price == level.price, order
        check_resting(order)
        older = order
    return orders


def check_resting(order: Order) -> None:
    assert 0 < order.remaining <= order.quantity, order
    assert order.price > 0, order
    assert order.priority > 0, order
    assert not order.is_market, order
    assert order.time_in_force is TimeInForce.GTC, order


def check_stops(book: Book) -> None:
    for stop in book.stops.values():
        assert stop.is_stop, stop
        assert stop.remaining == stop.quantity > 0, stop
        assert stop.priority > 0, stop
        assert stop.newer is None, stop
        assert stop.older is None, stop


def check_indexes(book: Book, resting: list[Order]) -> None:
    """Each order is found once by id and once under its user, and nothing else is."""
    assert {order.id: order for order in resting} == book.orders, "orders by id"
    assert len(resting) == len(book.orders), "an id twice"
    assert not book.orders.keys() & book.stops.keys(), "armed and resting"
    everything = {**book.orders, **book.stops}
    priorities = {order.priority for order in everything.values()}
    assert len(priorities) == len(everything), "a priority twice"
    by_user: dict[str, dict[str, Order]] = {}
    for order_id, order in everything.items():
        assert order.id == order_id, order
        by_user.setdefault(order.user, {})[order_id] = order
    assert by_user == book.by_user, "orders by user"
