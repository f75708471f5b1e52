"""What a new order does: price-time priority, times in force, post-only, market orders and their collar."""

from __future__ import annotations

import pytest

from matching.core.events import Cancelled, Opened, Rejected, Traded
from matching.core.types import OrderType, Reason, Side
from tests.unit.market import FOK, INSTRUMENT, IOC, OLDEST, Market, fills

MARKET = OrderType.MARKET


def test_an_order_that_meets_nobody_rests() -> None:
    market = Market()
    assert market.buy("ann-1", 5, 100) == [Opened("ann-1", 5, 1)]
    assert market.sell("bob-1", 3, 101) == [Opened("bob-1", 3, 2)]
    assert (market.book.best_bid, market.book.best_ask) == (100, 101)
    assert (market.bids, market.asks) == ([(100, 5)], [(101, 3)])


def test_an_empty_book_has_no_best_price() -> None:
    market = Market()
    assert (market.book.best_bid, market.book.best_ask) == (None, None)
    assert (market.bids, market.asks) == ([], [])


def test_a_trade_says_all_that_a_settlement_needs() -> None:
    market = Market()
    market.sell("bob-1", 3, 101)
    assert market.buy("ann-1", 5, 102) == [
        Traded(INSTRUMENT, 1, 101, 3, "bob-1", "ann-1", Side.BUY, 0, 2),
        Opened("ann-1", 2, 2),
    ]


def test_the_better_price_is_first_and_then_the_older_order() -> None:
    market = Market()
    market.sell("bob-1", 1, 102)
    market.sell("cat-1", 1, 101)
    market.sell("dan-1", 1, 101)
    market.sell("eve-1", 1, 100)
    got = fills(market.buy("ann-1", 4, 102))
    assert got == [("eve-1", 1, 100), ("cat-1", 1, 101), ("dan-1", 1, 101), ("bob-1", 1, 102)]


def test_a_sale_meets_the_highest_bid_first() -> None:
    market = Market()
    market.buy("bob-1", 1, 99)
    market.buy("cat-1", 1, 100)
    assert fills(market.sell("ann-1", 2, 99)) == [("cat-1", 1, 100), ("bob-1", 1, 99)]


def test_an_order_trades_at_its_limit_and_not_beyond() -> None:
    market = Market()
    market.sell("bob-1", 1, 101)
    market.sell("bob-2", 1, 102)
    assert fills(market.buy("ann-1", 2, 101)) == [("bob-1", 1, 101)]
    assert market.bids == [(101, 1)]


def test_a_partly_filled_maker_keeps_its_place() -> None:
    market = Market()
    market.sell("bob-1", 3, 101)
    market.sell("cat-1", 3, 101)
    market.buy("ann-1", 1, 101)
    assert fills(market.buy("ann-2", 3, 101)) == [("bob-1", 2, 101), ("cat-1", 1, 101)]


def test_trade_numbers_are_contiguous() -> None:
    market = Market()
    for number in range(1, 4):
        market.sell(f"bob-{number}", 1, 100)
        traded = market.buy(f"ann-{number}", 1, 100)[0]
        assert isinstance(traded, Traded)
        assert traded.number == number
    assert market.book.last_trade_number == 3


def test_depth_gives_the_best_levels_with_their_totals() -> None:
    market = Market()
    for number, price in enumerate((98, 99, 97, 99), 1):
        market.buy(f"ann-{number}", number, price)
    assert market.book.depth(2) == ([(99, 6), (98, 1)], [])


# -- immediate or cancel, fill or kill, post-only


def test_immediate_or_cancel_leaves_nothing() -> None:
    market = Market()
    market.sell("bob-1", 2, 100)
    events = market.buy("ann-1", 5, 100, time_in_force=IOC)
    assert fills(events) == [("bob-1", 2, 100)]
    assert events[-1] == Cancelled("ann-1", 3, Reason.IOC_REST)
    assert market.buy("ann-2", 5, 100, time_in_force=IOC) == [Cancelled("ann-2", 5, Reason.IOC_REST)]
    assert market.bids == []


def test_fill_or_kill_fills_whole_over_several_levels() -> None:
    market = Market()
    market.sell("bob-1", 2, 100)
    market.sell("bob-2", 2, 101)
    assert fills(market.buy("ann-1", 4, 101, time_in_force=FOK)) == [("bob-1", 2, 100), ("bob-2", 2, 101)]


@pytest.mark.parametrize(("quantity", "price"), [(5, 101), (3, 100), (1, 99)])
def test_fill_or_kill_that_cannot_fill_changes_nothing(quantity: int, price: int) -> None:
    market = Market()
    market.sell("bob-1", 2, 100)
    market.sell("bob-2", 2, 101)
    events = market.buy("ann-1", quantity, price, time_in_force=FOK)
    assert events == [Rejected("ann-1", Reason.FOK_UNFILLED)]
    assert market.asks == [(100, 2), (101, 2)]


def test_post_only_rests_or_is_rejected() -> None:
    market = Market()
    market.sell("bob-1", 2, 100)
    assert market.buy("ann-1", 1, 100, post_only=True) == [Rejected("ann-1", Reason.POST_ONLY_WOULD_CROSS)]
    assert market.buy("ann-2", 1, 99, post_only=True) == [Opened("ann-2", 1, 3)]


def test_post_only_does_not_pass_over_own_orders() -> None:
    market = Market()
    market.sell("ann-1", 2, 100)
    events = market.buy("ann-2", 1, 100, post_only=True, prevention=OLDEST)
    assert events == [Rejected("ann-2", Reason.POST_ONLY_WOULD_CROSS)]


# -- market orders


def test_a_market_order_takes_what_there_is_and_drops_the_rest() -> None:
    market = Market()
    market.sell("bob-1", 2, 100)
    events = market.buy("ann-1", 5, 1_000, MARKET)
    assert fills(events) == [("bob-1", 2, 100)]
    assert events[-1] == Cancelled("ann-1", 3, Reason.MARKET_REST)


def test_a_market_order_stops_at_its_protection_price() -> None:
    market = Market()
    market.sell("bob-1", 1, 100)
    market.sell("bob-2", 1, 103)
    events = market.buy("ann-1", 2, 102, MARKET)
    assert fills(events) == [("bob-1", 1, 100)]
    assert events[-1] == Cancelled("ann-1", 1, Reason.MARKET_REST)


@pytest.mark.parametrize(
    ("collar_ppm", "reached"),
    [(0, [999]), (1_000, [999]), (1_001, [999]), (1_002, [999, 1_000]), (2_002, [999, 1_000])],
)
def test_the_collar_of_a_purchase_is_rounded_down(collar_ppm: int, reached: list[int]) -> None:
    """999 + 0.1 % is 999.999 and + 0.1001 % is 999.999999: neither reaches 1000."""
    market = Market(collar_ppm)
    for price in (999, 1_000, 1_002):
        market.sell(f"bob-{price}", 1, price)
    assert [price for _, _, price in fills(market.buy("ann-1", 3, 9_999, MARKET))] == reached


@pytest.mark.parametrize(("collar_ppm", "reached"), [(0, [1_001]), (998, [1_001]), (1_000, [1_001, 1_000])])
def test_the_collar_of_a_sale_is_rounded_up(collar_ppm: int, reached: list[int]) -> None:
    """1001 - 0.0998 % is 1000.001002: it does not reach 1000."""
    market = Market(collar_ppm)
    for price in (1_001, 1_000, 998):
        market.buy(f"bob-{price}", 1, price)
    assert [price for _, _, price in fills(market.sell("ann-1", 3, 0, MARKET))] == reached


def test_a_collar_beyond_the_price_lets_a_sale_go_to_the_last_bid() -> None:
    market = Market(collar_ppm=2_000_000)
    market.buy("bob-1", 1, 100)
    market.buy("bob-2", 1, 1)
    assert fills(market.sell("ann-1", 2, 0, MARKET)) == [("bob-1", 1, 100), ("bob-2", 1, 1)]


def test_a_market_order_with_nothing_to_match_is_rejected() -> None:
    market = Market()
    assert market.buy("ann-1", 1, 1_000, MARKET) == [Rejected("ann-1", Reason.NO_LIQUIDITY)]
    market.sell("bob-1", 1, 100)
    assert market.buy("ann-2", 1, 99, MARKET) == [Rejected("ann-2", Reason.NO_LIQUIDITY)]


def test_a_market_order_may_be_fill_or_kill() -> None:
    market = Market()
    market.sell("bob-1", 2, 100)
    market.sell("bob-2", 2, 200)  # beyond the collar
    rejected = market.buy("ann-1", 3, 1_000, MARKET, time_in_force=FOK)
    assert rejected == [Rejected("ann-1", Reason.FOK_UNFILLED)]
    assert fills(market.buy("ann-2", 2, 1_000, MARKET, time_in_force=FOK)) == [("bob-1", 2, 100)]


def test_a_limit_order_has_no_collar() -> None:
    market = Market(collar_ppm=0)
    market.sell("bob-1", 1, 100)
    market.sell("bob-2", 1, 500)
    assert len(fills(market.buy("ann-1", 2, 500))) == 2


# -- broken invariants


def test_an_id_that_is_in_the_book_ends_the_worker() -> None:
    market = Market()
    market.buy("ann-1", 1, 100)
    with pytest.raises(AssertionError):
        market.buy("ann-1", 1, 100)


@pytest.mark.parametrize(
    ("quantity", "price", "type_"), [(0, 100, OrderType.LIMIT), (1, 0, OrderType.LIMIT), (1, 0, MARKET)]
)
def test_a_purchase_has_a_quantity_and_a_price(quantity: int, price: int, type_: OrderType) -> None:
    with pytest.raises(AssertionError):
        Market().buy("ann-1", quantity, price, type_)
