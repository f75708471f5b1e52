"""What becomes of orders that are in the book: cancel, cancel all, amend, and stops."""

from __future__ import annotations

import pytest

from matching.core.events import (
    Amended,
    Armed,
    Cancelled,
    Opened,
    Refused,
    Triggered,
)
from matching.core.types import OrderType, Reason
from tests.unit.market import BOTH, DECREMENT, FOK, IOC, OLDEST, Market, fills

STOP, STOP_LIMIT = OrderType.STOP, OrderType.STOP_LIMIT


def test_cancel_takes_what_is_left() -> None:
    market = Market()
    market.sell("bob-1", 5, 100)
    market.buy("ann-1", 2, 100)
    assert market.cancel("bob-1") == [Cancelled("bob-1", 3, Reason.USER_CANCELLED)]
    assert market.cancel("bob-1") == [Refused("c", "bob-1", Reason.UNKNOWN_ORDER)]
    assert market.asks == []


def test_cancel_from_the_middle_of_a_queue() -> None:
    market = Market()
    for order in ("bob-1", "cat-1", "dan-1"):
        market.sell(order, 1, 100)
    market.cancel("cat-1")
    assert fills(market.buy("ann-1", 2, 100)) == [("bob-1", 1, 100), ("dan-1", 1, 100)]


def test_cancel_all_takes_everything_of_a_user_oldest_place_first() -> None:
    market = Market()
    market.sell("ann-1", 1, 105)
    market.sell("bob-1", 1, 106)
    market.buy("ann-2", 1, 110, STOP, stop_price=108)
    market.buy("ann-3", 1, 90)
    market.amend("ann-1", 2, 105)  # to the back
    orders = [event.order for event in market.cancel_all("ann") if isinstance(event, Cancelled)]
    assert orders == ["ann-2", "ann-3", "ann-1"]
    assert market.cancel_all("ann") == []
    assert market.asks == [(106, 1)]


# -- amend


@pytest.mark.parametrize("quantity", [4, 6])
def test_no_more_at_the_same_price_keeps_the_place(quantity: int) -> None:
    """Also an amend that changes nothing: sent twice by a retry, it should do no harm."""
    market = Market()
    market.sell("bob-1", 6, 100)
    market.sell("cat-1", 1, 100)
    assert market.amend("bob-1", quantity, 100) == [Amended("bob-1", 100, quantity, quantity, True)]
    assert market.asks == [(100, quantity + 1)]
    assert fills(market.buy("ann-1", 1, 100)) == [("bob-1", 1, 100)]


@pytest.mark.parametrize(("quantity", "price"), [(7, 100), (6, 101), (3, 101)])
def test_anything_else_goes_to_the_back(quantity: int, price: int) -> None:
    market = Market()
    market.sell("bob-1", 6, 100)
    market.sell("cat-1", 1, price)
    assert market.amend("bob-1", quantity, price) == [
        Amended("bob-1", price, quantity, quantity, False),
        Opened("bob-1", quantity, 3),
    ]
    assert fills(market.buy("ann-1", 2, price)) == [("cat-1", 1, price), ("bob-1", 1, price)]


def test_an_amended_quantity_includes_what_was_filled() -> None:
    market = Market()
    market.sell("bob-1", 6, 100)
    market.buy("ann-1", 4, 100)
    for quantity in (4, 3, 0, -1):
        refused = [Refused("c", "bob-1", Reason.QUANTITY_NOT_ABOVE_FILLED)]
        assert market.amend("bob-1", quantity, 100) == refused
    assert market.amend("bob-1", 5, 100) == [Amended("bob-1", 100, 5, 1, True)]
    assert market.asks == [(100, 1)]


def test_an_amended_quantity_includes_what_was_decremented() -> None:
    market = Market()
    market.sell("ann-1", 6, 100)
    market.buy("ann-2", 4, 100, prevention=DECREMENT)
    assert market.amend("ann-1", 4, 100) == [Refused("c", "ann-1", Reason.QUANTITY_NOT_ABOVE_FILLED)]
    assert market.amend("ann-1", 7, 100)[0] == Amended("ann-1", 100, 7, 3, False)


def test_amended_into_the_market_it_trades_and_rests() -> None:
    market = Market()
    market.sell("bob-1", 2, 100)
    market.buy("ann-1", 5, 99)
    events = market.amend("ann-1", 6, 100)
    assert events[0] == Amended("ann-1", 100, 6, 6, False)
    assert fills(events) == [("bob-1", 2, 100)]
    assert events[-1] == Opened("ann-1", 4, 3)
    assert market.bids == [(100, 4)]


def test_amended_into_the_market_and_filled() -> None:
    market = Market()
    market.sell("bob-1", 9, 100)
    market.buy("ann-1", 5, 99)
    assert len(market.amend("ann-1", 5, 100)) == 2
    assert market.bids == []


def test_post_only_is_not_amended_into_the_market() -> None:
    market = Market()
    market.sell("bob-1", 2, 100)
    market.buy("ann-1", 5, 99, post_only=True)
    assert market.amend("ann-1", 5, 100) == [Refused("c", "ann-1", Reason.POST_ONLY_WOULD_CROSS)]
    assert market.bids == [(99, 5)]


def test_an_amend_that_could_only_cancel_the_order_is_refused() -> None:
    market = Market()
    market.sell("ann-1", 2, 100)
    market.buy("ann-2", 5, 99)
    assert market.amend("ann-2", 5, 100) == [Refused("c", "ann-2", Reason.SELF_TRADE)]
    assert market.bids == [(99, 5)]


def test_an_amended_order_that_meets_its_own_later_is_cancelled() -> None:
    market = Market()
    market.sell("bob-1", 2, 100)
    market.sell("ann-1", 2, 100)
    market.buy("ann-2", 5, 99)
    assert market.amend("ann-2", 5, 100)[-1] == Cancelled("ann-2", 3, Reason.SELF_TRADE)
    assert market.bids == []


def test_an_unknown_order_is_not_amended() -> None:
    assert Market().amend("ann-1", 5, 100) == [Refused("c", "ann-1", Reason.UNKNOWN_ORDER)]


# -- stops


def test_a_stop_waits_and_does_not_show() -> None:
    market = Market()
    market.sell("bob-1", 5, 100)
    assert market.buy("ann-1", 2, 120, STOP, stop_price=105) == [Armed("ann-1", 2)]
    assert market.bids == []
    assert market.asks == [(100, 5)]


def test_a_triggered_stop_trades_at_the_market() -> None:
    market = Market()
    market.buy("ann-1", 7, 101, STOP, stop_price=105)
    market.sell("bob-1", 5, 100)
    market.sell("bob-2", 5, 102)  # beyond its protection price
    events = market.trigger("ann-1", 105)
    assert events[0] == Triggered("ann-1", 105)
    assert fills(events) == [("bob-1", 5, 100)]
    assert events[-1] == Cancelled("ann-1", 2, Reason.MARKET_REST)


def test_a_triggered_stop_keeps_to_the_collar() -> None:
    market = Market(collar_ppm=0)
    market.sell("ann-1", 2, 0, STOP, stop_price=95)
    market.buy("bob-1", 1, 100)
    market.buy("bob-2", 1, 99)
    assert fills(market.trigger("ann-1")) == [("bob-1", 1, 100)]


def test_a_triggered_stop_with_nothing_to_match_is_cancelled() -> None:
    market = Market()
    market.buy("ann-1", 7, 101, STOP, stop_price=105)
    assert market.trigger("ann-1") == [Triggered("ann-1", 100), Cancelled("ann-1", 7, Reason.NO_LIQUIDITY)]


def test_a_triggered_stop_limit_rests_at_the_back_of_its_price() -> None:
    market = Market()
    market.buy("ann-1", 2, 100, STOP_LIMIT, stop_price=105)
    market.buy("bob-1", 1, 100)
    assert market.trigger("ann-1") == [Triggered("ann-1", 100), Opened("ann-1", 2, 3)]
    assert fills(market.sell("cat-1", 2, 100)) == [("bob-1", 1, 100), ("ann-1", 1, 100)]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"time_in_force": IOC}, Reason.IOC_REST),
        ({"time_in_force": FOK}, Reason.FOK_UNFILLED),
        ({"post_only": True}, Reason.POST_ONLY_WOULD_CROSS),
    ],
)
def test_what_would_reject_a_new_order_cancels_a_triggered_one(
    more: dict[str, object], reason: Reason
) -> None:
    market = Market()
    market.sell("bob-1", 1, 100)
    market.buy("ann-1", 2, 100, STOP_LIMIT, stop_price=105, **more)
    events = market.trigger("ann-1")
    assert isinstance(events[0], Triggered)
    assert isinstance(events[-1], Cancelled)
    assert events[-1].reason is reason


def test_a_triggered_stop_that_meets_its_own_order_first_is_cancelled() -> None:
    market = Market()
    market.sell("ann-1", 1, 100)
    market.buy("ann-2", 2, 100, STOP, stop_price=105)
    assert market.trigger("ann-2")[1:] == [Cancelled("ann-2", 2, Reason.SELF_TRADE)]


@pytest.mark.parametrize("mode", [OLDEST, BOTH])
def test_a_triggered_stop_follows_its_own_mode(mode: object) -> None:
    market = Market()
    market.sell("ann-1", 1, 100)
    market.buy("ann-2", 2, 100, STOP_LIMIT, stop_price=105, prevention=mode)
    assert market.trigger("ann-2")[1] == Cancelled("ann-1", 1, Reason.SELF_TRADE)


def test_a_stop_is_triggered_once() -> None:
    market = Market()
    market.buy("ann-1", 2, 100, STOP_LIMIT, stop_price=105)
    market.trigger("ann-1")
    assert market.trigger("ann-1") == [Refused("c", "ann-1", Reason.ALREADY_TRIGGERED)]
    market.cancel("ann-1")
    assert market.trigger("ann-1") == [Refused("c", "ann-1", Reason.UNKNOWN_ORDER)]


def test_an_armed_stop_can_be_cancelled_and_amended() -> None:
    market = Market()
    market.buy("ann-1", 2, 100, STOP_LIMIT, stop_price=105)
    assert market.amend("ann-1", 9, 120) == [Amended("ann-1", 120, 9, 9, True)]
    assert market.amend("ann-1", 0, 120) == [Refused("c", "ann-1", Reason.QUANTITY_NOT_ABOVE_FILLED)]
    assert market.bids == []
    assert market.cancel("ann-1") == [Cancelled("ann-1", 9, Reason.USER_CANCELLED)]
