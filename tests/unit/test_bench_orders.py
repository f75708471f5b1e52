"""Prepared requests: well-formed HTTP and JSON, orders that the market takes, and as much bought as sold."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from exchange.bench.orders import DEPTH_FROM, JITTER, MIDDLE, Requests, Steps, Trader

VIEW = {"min_quantity": "0.00001", "min_notional": "1"}
BITCOIN = Steps.of({"symbol": "BTC/USDT", "tick_size": "0.01", "lot_size": "0.00001", **VIEW})
LIRA = Steps.of({"symbol": "BTC/TRY", "tick_size": "1", "lot_size": "0.00001", **VIEW, "min_notional": "50"})
TRADERS = [Trader(f"user-{number}", f"token-{number}") for number in range(4)]
REQUESTS = Requests("127.0.0.1", 8080, "run", TRADERS, [BITCOIN, LIRA], sizes=5)


def sent(text: str) -> tuple[str, str, list[dict[str, Any]]]:
    """Path, token and orders of a request, as its ids are filled in."""
    head, _, body = (text % tuple(range(text.count("%010d")))).partition("\r\n\r\n")
    first, *fields = head.split("\r\n")
    values = dict(field.split(": ", 1) for field in fields)
    assert values["Host"] == "127.0.0.1:8080"
    assert int(values["Content-Length"]) == len(body)
    decoded = json.loads(body)
    return first.split(" ")[1], values["Authorization"], decoded.get("orders", [decoded])


@pytest.mark.parametrize("batch", [0, 50])
def test_what_is_bought_is_sold(batch: int) -> None:
    lanes = REQUESTS.trading("load", 4, batch)
    assert len(lanes) == 4
    for lane in lanes:
        sums: Counter[str] = Counter()
        users: dict[str, set[str]] = {"BUY": set(), "SELL": set()}
        for text in lane:
            path, token, orders = sent(text)
            assert path == ("/api/v1/orders/batch" if batch else "/api/v1/orders")
            assert len(orders) == (batch or 1)
            for order in orders:
                sums[order["side"]] += Decimal(order["quantity"])  # type: ignore[assignment]
                users[order["side"]].add(token)
        assert sums["BUY"] == sums["SELL"] > 0
        assert not users["BUY"] & users["SELL"]


def test_any_buyer_crosses_any_seller_and_none_is_too_small() -> None:
    for market, lane in zip((BITCOIN, LIRA), REQUESTS.trading("load", 2, 50), strict=True):
        for order in (order for text in lane for order in sent(text)[2]):
            price, quantity = Decimal(order["price"]), Decimal(order["quantity"])
            distance = price / market.tick - MIDDLE
            assert order["symbol"] == market.symbol
            assert 0 <= (distance if order["side"] == "BUY" else -distance) <= JITTER
            assert quantity % market.lot == 0
            assert price * quantity >= (1 if market is BITCOIN else 50)


def test_resting_orders_do_not_cross() -> None:
    lanes = REQUESTS.resting("rest", 4, 2, 100, 50)
    symbols = []
    for lane in lanes:
        for order in (order for text in lane for order in sent(text)[2]):
            distance = (
                Decimal(order["price"]) / (BITCOIN if order["symbol"] == "BTC/USDT" else LIRA).tick - MIDDLE
            )
            assert (distance if order["side"] == "SELL" else -distance) >= DEPTH_FROM
        symbols.append(order["symbol"])
    assert symbols == ["BTC/USDT", "BTC/USDT", "BTC/TRY", "BTC/TRY"]


def test_ids_differ_between_lanes_and_loads() -> None:
    prefixes = {
        sent(text)[2][0]["client_order_id"][:-10]
        for name in ("a", "b")
        for lane in REQUESTS.trading(name, 3, 0)
        for text in lane
    }
    assert len(prefixes) == 6
    assert sum(prefix.startswith(REQUESTS.prefix("a")) for prefix in prefixes) == 3


def test_stops_wait_on_both_sides_and_never_trade() -> None:
    """No limit and no protection price of one side comes near those of the other."""
    lanes = REQUESTS.stops("stops", 4, 0, 100, 20)
    orders = [order for lane in lanes for text in lane for order in sent(text)[2]]
    assert len(orders) == 2000
    assert Counter((order["side"], order["order_type"]) for order in orders) == {
        (side, kind): 500 for side in ("BUY", "SELL") for kind in ("STOP", "STOP_LIMIT")
    }
    middle = MIDDLE * BITCOIN.tick
    for order in orders:
        buying = order["side"] == "BUY"
        assert (Decimal(order["stop_price"]) > middle) is buying
        assert "price" not in order or (Decimal(order["price"]) < middle) is buying
        assert Decimal(order["quantity"]) * Decimal(order.get("price", order["stop_price"])) >= 1
    prices = {order["stop_price"] for order in orders}
    assert len(prices) == 2000, "each level has one stop as long as there are enough levels"
