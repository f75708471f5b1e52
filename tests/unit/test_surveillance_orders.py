"""Spoofing, layering and momentum ignition; and how updates of orders become what the book showed."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from risk.detectors import momentum_ignition, spoofing
from risk.detectors.displayed import OrderUpdate, follow
from risk.detectors.momentum_ignition import MomentumIgnition
from risk.detectors.records import SECOND, DisplayedOrder, Finding, Side, Trade
from risk.detectors.spoofing import LAYERING, SPOOFING, Layering, Spoofing
from tests.unit.surveillance import shown, trade

BUY, SELL = Side.BUY, Side.SELL


def find_spoofing(trades: list[Trade], orders: list[DisplayedOrder], **limits: float) -> list[Finding]:
    rules = {SPOOFING: Spoofing(**limits), LAYERING: Layering(**limits)}  # type: ignore[arg-type]
    return spoofing.find(
        "X", sorted(trades, key=lambda t: t.at), sorted(orders, key=lambda o: o.opened), {}, rules
    )


def others(count: int) -> list[DisplayedOrder]:
    return [shown(f"m{n}", BUY, "99", "10", n, n + 5) for n in range(count)]


def episode(
    at: float, layers: int = 1, *, wait: float = 2, size: str = "100"
) -> tuple[list[Trade], list[DisplayedOrder]]:
    """A small bid that is hit while large offers stand above; then they go."""
    wanted = shown("s", BUY, "100", "5", at, at + 5, filled="5")
    walls = [
        shown("s", SELL, f"{100.5 + n / 10}", size, at + 1 + n / 10, at + 5 + wait) for n in range(layers)
    ]
    hit = trade(at + 5, "h", "s", "5", "100", taker=SELL, orders=("x", wanted.order))
    return [hit], [wanted, *walls]


def several(*episodes: tuple[list[Trade], list[DisplayedOrder]]) -> tuple[list[Trade], list[DisplayedOrder]]:
    return [t for trades, _ in episodes for t in trades], [
        o for _, orders in episodes for o in orders
    ] + others(40)


def test_a_large_order_that_goes_after_an_own_fill_on_the_other_side_is_spoofing() -> None:
    (found,) = find_spoofing(*several(episode(10), episode(200)))
    assert found.kind is SPOOFING
    assert found.users == ("s",)
    assert found.detail["episodes"] == 2
    assert found.detail["withdrawn"] == "200"
    assert found.detail["filled_opposite"] == "10"
    assert found.score > 0.9


def test_with_several_prices_it_is_layering() -> None:
    (found,) = find_spoofing(*several(episode(10, 4), episode(200, 3)))
    assert found.kind is LAYERING
    assert found.detail["most_layers"] == 4
    (found,) = find_spoofing(*several(episode(10, 2), episode(200, 2)))
    assert found.kind is SPOOFING


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, "once is no pattern"),
        ({"second": {"wait": 30}}, "it stayed long after the fill"),
        ({"second": {"size": "12"}}, "it was no larger than other orders"),
        ({"least_episodes": 3, "second": {}}, "an operator wants more"),
        ({"longest_life": 1, "second": {}}, "it had stood for longer"),
    ],
)
def test_what_is_no_spoofing(change: dict, why: str) -> None:
    second = change.pop("second", None)
    episodes = [episode(10)] + ([episode(200, **second)] if second is not None else [])
    assert find_spoofing(*several(*episodes), **change) == [], why


def test_depth_that_was_hit_or_taken_away_by_others_is_not_deceptive() -> None:
    trades, orders = several(episode(10), episode(200))
    hit = [
        o if o.user != "s" or o.side is BUY else shown("s", SELL, "101", "100", 11, 17, filled="60")
        for o in orders
    ]
    assert find_spoofing(trades, hit) == []
    forced = [
        o
        if o.user != "s" or o.side is BUY
        else shown("s", SELL, "101", "100", o.opened / SECOND, (o.closed or 0) / SECOND, by_owner=False)
        for o in orders
    ]
    assert find_spoofing(trades, forced) == []


def test_a_market_maker_cancels_all_day_and_is_no_spoofer() -> None:
    """Shows both sides, leaning up to 4 to 1, again every few seconds, and after each fill."""
    rng = random.Random(4)
    trades, orders, at = [], [], 0.0
    for n in range(300):
        life = rng.uniform(2, 6)
        sizes = (20, 80) if n % 2 else (80, 20)
        hit = n % 10 == 0
        bid = shown("m", BUY, "99", str(sizes[0]), at, at + life, filled="20" if hit else "0")
        orders += [bid, shown("m", SELL, "101", str(sizes[1]), at, at + life)]
        if hit:
            trades.append(trade(at + life - 0.5, "h", "m", "20", "99", taker=SELL, orders=("x", bid.order)))
        at += life
    assert find_spoofing(trades, orders) == []


# -- momentum ignition


def market(rng: random.Random, count: int = 400) -> list[Trade]:
    """One trade a second or so, around 10000."""
    price, trades = 10_000.0, []
    for n in range(count):
        price += rng.gauss(0, 1)
        taker = rng.choice((BUY, SELL))
        trades.append(trade(n * 3, f"h{n % 7}", f"g{n % 5}", "2", f"{price:.1f}", taker=taker))
    return trades


def burst(trades: list[Trade], at: float, *, up: float, orders: int = 6, out: float = 20) -> list[Trade]:
    """`i` buys in quick steps that lift the price by `up`, and sells `out` seconds later, a little above."""
    before = float(max((t for t in trades if t.at < at * SECOND), key=lambda t: t.at).price)
    steps = [
        trade(at + n, "m", "i", "20", f"{before + up * (n + 1) / orders:.1f}", orders=(f"m{n}", f"i{at}-{n}"))
        for n in range(orders)
    ]
    way_out = trade(
        at + orders + out, "i", "f", str(20 * orders), f"{before + up:.1f}", orders=("i-out", "f")
    )
    quiet = [t for t in trades if not at * SECOND <= t.at <= (at + orders + out) * SECOND]
    return sorted([*quiet, *steps, way_out], key=lambda t: t.at)


def find_ignition(trades: list[Trade], **limits: float) -> list[Finding]:
    return momentum_ignition.find("X", trades, {}, MomentumIgnition(**limits))  # type: ignore[arg-type]


def test_a_burst_that_moves_the_price_and_is_sold_to_followers_is_found() -> None:
    (found,) = find_ignition(burst(market(random.Random(5)), 600.5, up=40))
    assert found.users == ("i",)
    assert found.detail["bursts"] == 1
    assert found.detail["bought_or_sold"] == found.detail["traded_back"] == "120"
    assert len(found.trades) == 7


@pytest.mark.parametrize(
    ("shape", "limits"),
    [
        ({"up": 2}, {}),
        ({"up": 40, "orders": 2}, {}),
        ({"up": 40, "out": 400}, {}),
        ({"up": 40}, {"least_orders": 8}),
        ({"up": 40}, {"least_sigmas": 90}),
    ],
    ids=["no move", "one order or two", "kept for long", "an operator wants more", "or a larger move"],
)
def test_what_is_no_ignition(shape: dict, limits: dict) -> None:
    assert find_ignition(burst(market(random.Random(5)), 600.5, **shape), **limits) == []


def test_a_sale_at_a_loss_has_gained_nothing() -> None:
    trades = burst(market(random.Random(5)), 600.5, up=40)
    cheaper = [
        trade(t.at / SECOND, "i", "f", "120", "9900", orders=("i-out", "f")) if t.seller == "i" else t
        for t in trades
    ]
    assert find_ignition(cheaper) == []


def test_nothing_is_said_of_a_market_without_history() -> None:
    assert find_ignition(burst(market(random.Random(5), 20), 55.5, up=40)) == []


# -- orders


def update(
    status: str,
    at: float,
    *,
    filled: str = "0",
    remaining: str = "10",
    price: str | None = "100",
    **more: str,
) -> OrderUpdate:
    return OrderUpdate(
        "o",
        "u",
        BUY,
        None if price is None else Decimal(price),
        Decimal(filled) + Decimal(remaining),
        Decimal(filled),
        Decimal(remaining),
        status,
        more.get("reason", ""),
        round(at * SECOND),
    )


def displayed(*updates: OrderUpdate) -> list[DisplayedOrder]:
    orders: list[DisplayedOrder] = []
    before = Decimal(0)
    for one in updates:
        for order in follow(orders[-1] if orders else None, before, one, 0):
            if orders and orders[-1].opened == order.opened and orders[-1].price == order.price:
                orders[-1] = order
            else:
                orders.append(order)
                before = one.filled
    return orders


def test_an_order_that_never_rested_was_never_shown() -> None:
    assert displayed(update("FILLED", 1, filled="10", remaining="0")) == []
    assert displayed(update("REJECTED", 1)) == []
    assert displayed(update("CANCELLED", 1, reason="IOC_REST")) == []
    assert displayed(update("PENDING_TRIGGER", 1)) == []


def test_what_its_owner_takes_away_is_withdrawn() -> None:
    (order,) = displayed(
        update("OPEN", 1),
        update("PARTIALLY_FILLED", 2, filled="4", remaining="6"),
        update("CANCELLED", 3, filled="4", remaining="6", reason="USER_CANCELLED"),
    )
    assert (order.quantity, order.filled, order.withdrawn, order.closed) == (10, 4, 6, 3 * SECOND)
    (order,) = displayed(update("OPEN", 1), update("CANCELLED", 2, reason="SELF_TRADE"))
    assert (order.withdrawn, order.closed) == (0, 2 * SECOND)


def test_an_amendment_to_another_price_withdraws_it_from_the_old_one() -> None:
    first, second = displayed(
        update("PARTIALLY_FILLED", 1, filled="2", remaining="8"),
        update("PARTIALLY_FILLED", 2, filled="2", remaining="8", price="105"),
        update("FILLED", 3, filled="10", remaining="0", price="105"),
    )
    assert (first.quantity, first.filled, first.withdrawn, first.closed) == (8, 0, 8, 2 * SECOND)
    assert (second.price, second.quantity, second.filled, second.withdrawn) == (105, 8, 8, 0)


def test_an_amendment_to_less_withdraws_the_difference_and_to_more_adds_to_it() -> None:
    first, second = displayed(update("OPEN", 1), update("OPEN", 2, remaining="3"))
    assert (first.quantity, first.withdrawn, second.quantity, second.closed) == (10, 7, 3, None)
    (order,) = displayed(update("OPEN", 1), update("OPEN", 2, remaining="15"))
    assert (order.quantity, order.withdrawn) == (15, 0)


def test_nothing_follows_the_end() -> None:
    closed = displayed(update("OPEN", 1), update("FILLED", 2, filled="10", remaining="0"))
    assert follow(closed[-1], Decimal(0), update("OPEN", 3), 0) == []
