"""An order's terms: each is declared once and goes along from the command to the book and its state."""

from __future__ import annotations

import msgspec
import pytest

from matching.core.commands import Place
from matching.core.level import Order
from matching.core.order_terms import AT_MARKET, LIMITED, STOPS, TYPE_RULES, OrderTerms
from matching.core.state import OrderState, export, restore
from matching.core.types import OrderType, SelfTradePrevention, Side, TimeInForce
from tests.unit.market import Market

TERMS = OrderTerms.__struct_fields__


@pytest.mark.parametrize("kind", [Place, Order, OrderState])
def test_the_terms_come_first_wherever_an_order_is(kind: type[OrderTerms]) -> None:
    assert kind.__struct_fields__[: len(TERMS)] == TERMS


def test_a_command_is_its_terms() -> None:
    assert Place.__struct_fields__ == TERMS


def test_every_term_goes_along() -> None:
    place = Place(
        "ann-1",
        1,
        "ann",
        Side.SELL,
        OrderType.STOP_LIMIT,
        TimeInForce.GTC,
        95,
        7,
        stop_price=97,
        post_only=True,
        prevention=SelfTradePrevention.DECREMENT,
        collar_ppm=2_000,
    )
    market = Market()
    market.send(place)
    again = restore(export(market.engine)).books[1]
    for order in (market.book.stops["ann-1"], again.stops["ann-1"]):
        changed = {name for name in TERMS if getattr(order, name) != getattr(place, name)}
        assert changed == {"collar_ppm"}  # it is a command's, not an order's
        assert order.remaining == place.quantity


def test_each_type_has_a_rule() -> None:
    assert list(TYPE_RULES) == list(OrderType)
    assert AT_MARKET == (OrderType.MARKET, OrderType.STOP)
    assert LIMITED == (OrderType.LIMIT, OrderType.STOP_LIMIT)
    assert STOPS == (OrderType.STOP, OrderType.STOP_LIMIT)
    for rule in TYPE_RULES.values():
        assert rule.at_market is not rule.needs_price
        assert rule.at_market is (TimeInForce.GTC not in rule.times_in_force)
        assert not rule.may_be_post_only or TimeInForce.GTC in rule.times_in_force


def test_terms_added_later_have_their_default() -> None:
    """A command of before is shorter than one of now: what it lacks is at its end, and has a default."""
    placed = ["Place", "ann-1", 1, "ann", 1, "LIMIT", "GTC", 100, 5, 0, True, "CANCEL_BOTH", 2_000]
    terms = ("ann-1", 1, "ann", Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 100, 5)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(placed), type=Place) == Place(
        *terms, post_only=True, prevention=SelfTradePrevention.CANCEL_BOTH, collar_ppm=2_000
    )
    assert len(OrderTerms.__struct_defaults__) >= len(placed) - 1 - len(terms)
