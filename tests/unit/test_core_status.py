"""Market statuses: what each lets through."""

from __future__ import annotations

import pytest

from matching.core.events import Cancelled, Opened, Refused, Rejected, StatusChanged, Triggered
from matching.core.types import MarketStatus, OrderType, Reason
from tests.unit.market import INSTRUMENT, Market, fills

CLOSED = [MarketStatus.CANCEL_ONLY, MarketStatus.HALTED]


@pytest.mark.parametrize("status", CLOSED)
def test_a_closed_market_takes_cancels_only(status: MarketStatus) -> None:
    market = Market()
    market.buy("ann-1", 2, 100)
    market.buy("ann-2", 2, 120, OrderType.STOP, stop_price=110)
    market.buy("ann-3", 2, 99)
    assert market.halt(status) == [StatusChanged(INSTRUMENT, status)]
    assert market.buy("ann-4", 1, 90) == [Rejected("ann-4", Reason.MARKET_HALTED)]
    stop = market.buy("ann-5", 1, 90, OrderType.STOP, stop_price=110)
    assert stop == [Rejected("ann-5", Reason.MARKET_HALTED)]
    assert market.amend("ann-1", 1, 100) == [Refused("c", "ann-1", Reason.MARKET_HALTED)]
    assert market.trigger("ann-2") == [Refused("c", "ann-2", Reason.MARKET_HALTED)]
    assert market.cancel("ann-1") == [Cancelled("ann-1", 2, Reason.USER_CANCELLED)]
    assert len(market.cancel_all("ann")) == 2


def test_resume_opens_the_market_again() -> None:
    market = Market()
    market.halt(MarketStatus.HALTED)
    assert market.resume() == [StatusChanged(INSTRUMENT, MarketStatus.TRADING)]
    assert market.buy("ann-1", 1, 90) == [Opened("ann-1", 1, 3)]


def test_in_post_only_nothing_trades() -> None:
    market = Market()
    market.sell("bob-1", 1, 100)
    market.buy("ann-1", 1, 98)
    market.halt(MarketStatus.POST_ONLY)
    crossed = Reason.POST_ONLY_WOULD_CROSS
    assert market.buy("ann-2", 1, 100) == [Rejected("ann-2", crossed)]
    assert market.buy("ann-3", 1, 200, OrderType.MARKET) == [Rejected("ann-3", crossed)]
    assert market.amend("ann-1", 1, 100) == [Refused("c", "ann-1", crossed)]
    assert market.amend("ann-1", 1, 99)[-1] == Opened("ann-1", 1, 7)
    assert market.buy("ann-4", 1, 99) == [Opened("ann-4", 1, 8)]


def test_a_stop_that_post_only_would_stop_stays_armed() -> None:
    market = Market()
    market.sell("bob-1", 1, 100)
    market.buy("ann-1", 1, 120, OrderType.STOP, stop_price=100)
    market.halt(MarketStatus.POST_ONLY)
    assert market.trigger("ann-1") == [Refused("c", "ann-1", Reason.MARKET_HALTED)]
    market.resume()
    assert fills(market.trigger("ann-1")) == [("bob-1", 1, 100)]


def test_a_stop_limit_that_does_not_cross_rests_in_post_only() -> None:
    market = Market()
    market.sell("bob-1", 1, 100)
    market.buy("ann-1", 1, 99, OrderType.STOP_LIMIT, stop_price=100)
    market.halt(MarketStatus.POST_ONLY)
    assert market.trigger("ann-1") == [Triggered("ann-1", 100), Opened("ann-1", 1, 4)]
