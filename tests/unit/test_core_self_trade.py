"""Self-trade prevention: what the incoming order's mode does when it meets its owner's resting order."""

from __future__ import annotations

import pytest

from matching.core.events import Cancelled, Decremented, Opened, Rejected
from matching.core.types import OrderType, Reason, SelfTradePrevention
from tests.unit.market import BOTH, DECREMENT, FOK, NEWEST, OLDEST, Market, fills

SELF_TRADE = Reason.SELF_TRADE


def market_with_own_ask(quantity: int = 5) -> Market:
    """Bob offers 2 at 100, then Ann `quantity` at 101, then Bob 2 at 102."""
    market = Market()
    market.sell("bob-1", 2, 100)
    market.sell("ann-1", quantity, 101)
    market.sell("bob-2", 2, 102)
    return market


def test_cancel_newest_stops_the_incoming_order() -> None:
    market = market_with_own_ask()
    events = market.buy("ann-2", 6, 102, prevention=NEWEST)
    assert fills(events) == [("bob-1", 2, 100)]
    assert events[-1] == Cancelled("ann-2", 4, SELF_TRADE)
    assert market.asks == [(101, 5), (102, 2)]


def test_cancel_newest_is_the_default_and_rejects_what_would_only_be_cancelled() -> None:
    market = Market()
    market.sell("ann-1", 5, 101)
    market.sell("bob-1", 2, 102)
    assert market.buy("ann-2", 6, 102) == [Rejected("ann-2", SELF_TRADE)]
    assert market.asks == [(101, 5), (102, 2)]


def test_cancel_oldest_removes_the_resting_order_and_goes_on() -> None:
    market = market_with_own_ask()
    events = market.buy("ann-2", 6, 102, prevention=OLDEST)
    assert fills(events) == [("bob-1", 2, 100), ("bob-2", 2, 102)]
    assert events[1] == Cancelled("ann-1", 5, SELF_TRADE)
    assert events[-1] == Opened("ann-2", 2, 4)


def test_cancel_oldest_leaves_own_orders_that_it_does_not_meet() -> None:
    market = market_with_own_ask()
    assert fills(market.buy("ann-2", 2, 102, prevention=OLDEST)) == [("bob-1", 2, 100)]
    assert market.asks == [(101, 5), (102, 2)]


def test_cancel_both() -> None:
    market = market_with_own_ask()
    events = market.buy("ann-2", 6, 102, prevention=BOTH)
    assert fills(events) == [("bob-1", 2, 100)]
    assert events[1:] == [Cancelled("ann-1", 5, SELF_TRADE), Cancelled("ann-2", 4, SELF_TRADE)]
    assert market.asks == [(102, 2)]


def test_cancel_both_at_once_is_no_rejection_as_it_changed_something() -> None:
    market = Market()
    market.sell("ann-1", 5, 101)
    events = market.buy("ann-2", 6, 102, prevention=BOTH)
    assert events == [Cancelled("ann-1", 5, SELF_TRADE), Cancelled("ann-2", 6, SELF_TRADE)]


@pytest.mark.parametrize(
    ("resting", "after"),
    [
        (3, [Decremented("ann-1", 3, 0), Decremented("ann-2", 3, 1), Cancelled("ann-1", 0, SELF_TRADE)]),
        (5, [Decremented("ann-1", 4, 1), Decremented("ann-2", 4, 0), Cancelled("ann-2", 0, SELF_TRADE)]),
        (
            4,
            [
                Decremented("ann-1", 4, 0),
                Decremented("ann-2", 4, 0),
                Cancelled("ann-1", 0, SELF_TRADE),
                Cancelled("ann-2", 0, SELF_TRADE),
            ],
        ),
    ],
)
def test_decrement_takes_the_smaller_off_both(resting: int, after: list[object]) -> None:
    market = market_with_own_ask(resting)
    events = market.buy("ann-2", 6, 101, prevention=DECREMENT)  # 2 of it are Bob's
    assert events[1 : 1 + len(after)] == after
    rest = [Opened("ann-2", 1, 4)] if resting == 3 else []
    assert events[1 + len(after) :] == rest


def test_decrement_goes_on_with_what_is_left() -> None:
    market = market_with_own_ask(1)
    events = market.buy("ann-2", 4, 102, prevention=DECREMENT)
    assert fills(events) == [("bob-1", 2, 100), ("bob-2", 1, 102)]


def test_the_mode_is_the_incoming_orders() -> None:
    market = Market()
    market.sell("ann-1", 5, 101, prevention=OLDEST)
    assert market.buy("ann-2", 5, 101, prevention=NEWEST) == [Rejected("ann-2", SELF_TRADE)]


def test_a_market_order_that_removes_only_own_orders_ends_as_a_rest() -> None:
    market = Market()
    market.sell("ann-1", 5, 101)
    events = market.buy("ann-2", 6, 102, OrderType.MARKET, prevention=OLDEST)
    assert events == [Cancelled("ann-1", 5, SELF_TRADE), Cancelled("ann-2", 6, Reason.MARKET_REST)]


# -- fill or kill counts others only


@pytest.mark.parametrize("mode", [NEWEST, BOTH, DECREMENT])
def test_fill_or_kill_must_not_meet_an_own_order_before_it_is_filled(mode: SelfTradePrevention) -> None:
    market = market_with_own_ask()
    rejected = market.buy("ann-2", 4, 102, time_in_force=FOK, prevention=mode)
    assert rejected == [Rejected("ann-2", SELF_TRADE)]
    assert market.asks == [(100, 2), (101, 5), (102, 2)]


@pytest.mark.parametrize("mode", list(SelfTradePrevention))
def test_fill_or_kill_may_be_filled_before_it_meets_one(mode: SelfTradePrevention) -> None:
    market = market_with_own_ask()
    events = market.buy("ann-2", 2, 102, time_in_force=FOK, prevention=mode)
    assert fills(events) == [("bob-1", 2, 100)]
    assert len(events) == 1


def test_fill_or_kill_with_cancel_oldest_passes_over_own_orders() -> None:
    market = market_with_own_ask()
    unfilled = market.buy("ann-2", 5, 102, time_in_force=FOK, prevention=OLDEST)
    assert unfilled == [Rejected("ann-2", Reason.FOK_UNFILLED)]
    filled = market.buy("ann-3", 4, 102, time_in_force=FOK, prevention=OLDEST)
    assert fills(filled) == [("bob-1", 2, 100), ("bob-2", 2, 102)]
    assert Cancelled("ann-1", 5, SELF_TRADE) in filled
