"""Traders' stories over HTTP against the running processes: orders, what comes of them, and the money."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.functional.live import PASSWORD, Live, Trader, accepted, problem


def test_from_signing_in_to_the_ledger(live: Live, alice: Trader, bob: Trader) -> None:
    buyer = live.sign_in(alice.email, PASSWORD)
    order = buyer.buy("0.5", "50000")
    assert (order["status"], order["remaining_quantity"], order["fee_asset"]) == ("OPEN", "0.5", "BTC")
    assert buyer.balance("USDT") == (975_000, 25_000)

    sold = bob.sell("0.2", "49000.50")
    assert (sold["status"], sold["filled_quantity"], sold["average_price"]) == ("FILLED", "0.2", "50000")
    assert (sold["fee"], sold["fee_asset"]) == ("15", "USDT")  # 0.15 % of 10000, a taker's

    order = buyer.get(f"/orders/{order['order_id']}")
    assert (order["status"], order["filled_quantity"]) == ("PARTIALLY_FILLED", "0.2")
    assert (order["fee"], order["average_price"]) == ("0.0002", "50000")  # 0.1 % of 0.2, a maker's
    assert buyer.balance("USDT") == (975_000, 15_000)
    assert buyer.balance("BTC") == (Decimal("10.1998"), 0)
    assert bob.balance("USDT") == (1_009_985, 0)
    assert bob.balance("BTC") == (Decimal("9.8"), 0)

    (trade,) = buyer.get("/trades/my")["items"]
    assert (trade["price"], trade["quantity"], trade["side"], trade["is_buyer_maker"]) == (
        "50000",
        "0.2",
        "SELL",
        True,
    )
    assert trade["own"] == {
        "order_id": order["order_id"],
        "side": "BUY",
        "liquidity": "MAKER",
        "fee": "0.0002",
        "fee_asset": "BTC",
    }
    entries = buyer.get("/ledger")["items"]
    of_trade = {
        each["asset"]: each["amount"] for each in entries if each["transaction_id"] == trade["trade_id"]
    }
    assert of_trade == {"BTC": "0.1998", "USDT": "-10000"}
    assert [each["kind"] for each in entries] == ["TRADE"] * 2 + ["DEPOSIT"] * 3
    for asset in ("BTC", "USDT"):
        booked = sum(Decimal(each["amount"]) for each in buyer.get("/ledger", asset=asset)["items"])
        assert booked == sum(buyer.balance(asset))


def test_a_trade_shows_each_side_to_its_owner_only(
    live: Live, alice: Trader, bob: Trader, new_trader: Callable[[], Trader]
) -> None:
    alice.buy("0.1", "40000")
    sold = bob.sell("0.1")
    (trade,) = bob.get("/trades/my")["items"]
    public = live.public.get(f"/trades/{trade['trade_id']}").json()
    assert public == {key: value for key, value in trade.items() if key != "own"}
    assert new_trader().get(f"/trades/{trade['trade_id']}") == public
    assert bob.get(f"/trades/{trade['trade_id']}")["own"]["order_id"] == sold["order_id"]
    assert alice.get(f"/trades/{trade['trade_id']}")["own"]["liquidity"] == "MAKER"
    latest = live.public.get("/trades", params={"symbol": "BTC/USDT", "limit": 1}).json()
    assert latest["items"] == [public]


def test_a_market_order_takes_what_the_collar_allows(alice: Trader, bob: Trader) -> None:
    alice.sell("0.1", "50000")
    alice.sell("0.1", "52500")  # 5 % above the best price: just inside
    far = alice.sell("0.1", "52500.01")
    bought = bob.buy("1")
    assert (bought["status"], bought["reason"]) == ("CANCELLED", "MARKET_REST")
    assert (bought["filled_quantity"], bought["remaining_quantity"]) == ("0.2", "0.8")
    assert (bought["average_price"], bought["price"], bought["time_in_force"]) == ("51250", None, "IOC")
    assert bob.balance("USDT") == (1_000_000 - 10_250, 0)
    assert alice.get(f"/orders/{far['order_id']}")["status"] == "OPEN"


def test_an_ioc_order_never_rests(alice: Trader, bob: Trader) -> None:
    alice.sell("0.1", "50000")
    bought = bob.buy("0.3", "50000", time_in_force="IOC")
    assert (bought["status"], bought["filled_quantity"], bought["reason"]) == ("CANCELLED", "0.1", "IOC_REST")
    assert bob.balance("USDT")[1] == 0


def test_a_stop_waits_for_its_price(alice: Trader) -> None:
    stop = alice.sell("1", order_type="STOP", stop_price="40000")
    limit = alice.sell("1", "39000", order_type="STOP_LIMIT", stop_price="39500")
    assert (stop["status"], stop["stop_price"], stop["price"]) == ("PENDING_TRIGGER", "40000", None)
    assert (limit["status"], limit["stop_price"], limit["price"]) == ("PENDING_TRIGGER", "39500", "39000")
    assert alice.balance("BTC") == (8, 2)
    answer = alice.http.delete(f"/orders/{stop['order_id']}")
    assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")
    assert alice.balance("BTC") == (9, 1)


REJECTS: list[tuple[str, dict[str, Any]]] = [
    ("post_only_would_cross", {"side": "BUY", "quantity": "0.1", "price": "50000", "post_only": True}),
    ("fok_unfilled", {"side": "BUY", "quantity": "0.6", "price": "50000", "time_in_force": "FOK"}),
    ("no_liquidity", {"side": "SELL", "quantity": "0.1"}),
    ("insufficient_funds", {"side": "BUY", "quantity": "20.00001", "price": "50000"}),
    ("insufficient_funds", {"side": "SELL", "quantity": "10.00001", "price": "60000"}),
]


@pytest.mark.parametrize(("code", "fields"), REJECTS)
def test_a_reject_is_stored_with_its_reason(
    alice: Trader, bob: Trader, code: str, fields: dict[str, Any]
) -> None:
    alice.sell("0.5", "50000")
    body = problem(bob.place(**fields), 422, code)
    order = body["order"]
    assert (order["status"], order["reason"], order["filled_quantity"]) == ("REJECTED", code.upper(), "0")
    assert bob.get(f"/orders/{order['order_id']}") == order
    assert (bob.balance("USDT"), bob.balance("BTC")) == ((1_000_000, 0), (10, 0))


def test_a_trader_does_not_trade_with_themself(alice: Trader) -> None:
    resting = alice.sell("0.5", "50000")
    problem(alice.place("BUY", "0.2", "50000"), 422, "self_trade")
    bought = alice.buy("0.2", "50000", self_trade_prevention="DECREMENT")
    assert (bought["status"], bought["reason"], bought["filled_quantity"]) == ("CANCELLED", "SELF_TRADE", "0")
    assert alice.get(f"/orders/{resting['order_id']}")["remaining_quantity"] == "0.3"
    bought = alice.buy("0.2", "50000", self_trade_prevention="CANCEL_OLDEST")
    assert bought["status"] == "OPEN"
    assert alice.get(f"/orders/{resting['order_id']}")["status"] == "CANCELLED"
    assert alice.get("/trades/my")["items"] == []


def test_an_order_sent_again_is_the_same_order(alice: Trader) -> None:
    first = alice.buy("1.5", "100", client_order_id="mine")
    again = alice.place("BUY", "1.500", "100.00", client_order_id="mine", time_in_force="GTC")
    assert (again.status_code, again.json()) == (200, first)
    problem(alice.place("BUY", "1.6", "100", client_order_id="mine"), 409, "client_order_id_conflict")
    assert len(alice.get("/orders")["items"]) == 1
    alice.http.delete(f"/orders/{first['order_id']}")
    again = alice.place("BUY", "1.5", "100", client_order_id="mine")
    assert (again.status_code, again.json()["status"]) == (200, "CANCELLED")


def test_a_rejected_order_sent_again_stays_rejected(alice: Trader) -> None:
    first = problem(alice.place("BUY", "100", "50000", client_order_id="much"), 422, "insufficient_funds")
    again = alice.place("BUY", "100", "50000", client_order_id="much")
    assert (again.status_code, again.json()) == (200, first["order"])


def test_two_traders_may_use_the_same_client_order_id(alice: Trader, bob: Trader) -> None:
    first, second = alice.buy("1", "100", client_order_id="1"), bob.buy("1", "100", client_order_id="1")
    assert first["order_id"] != second["order_id"]


def test_cancelling(alice: Trader, bob: Trader) -> None:
    order = alice.buy("1", "50000")
    path = f"/orders/{order['order_id']}"
    problem(bob.http.delete(path), 404, "order_not_found")
    assert alice.balance("USDT") == (950_000, 50_000)
    cancelled = alice.http.delete(path)
    assert cancelled.status_code == 200
    assert (cancelled.json()["status"], cancelled.json()["reason"]) == ("CANCELLED", "USER_CANCELLED")
    assert alice.balance("USDT") == (1_000_000, 0)
    body = problem(alice.http.delete(path), 409, "order_not_open")
    assert body["order"] == cancelled.json()


@pytest.mark.parametrize("order_id", ["01890a5d-ac96-774b-bcce-b302099a8057", "17", "%00", "x" * 500])
def test_an_order_that_is_not_there(alice: Trader, order_id: str) -> None:
    for method in ("GET", "DELETE"):
        problem(alice.http.request(method, f"/orders/{order_id}"), 404, "order_not_found")
    problem(alice.http.patch(f"/orders/{order_id}", json={"price": "5"}), 404, "order_not_found")


def test_the_order_of_another_is_not_there(alice: Trader, bob: Trader) -> None:
    path = f"/orders/{alice.buy('1', '100')['order_id']}"
    problem(bob.http.get(path), 404, "order_not_found")
    problem(bob.http.patch(path, json={"price": "5"}), 404, "order_not_found")
    assert bob.get("/orders")["items"] == []


def test_amending(alice: Trader, bob: Trader) -> None:
    order = alice.buy("1", "50000")
    path = f"/orders/{order['order_id']}"
    smaller = accepted_change(alice.http.patch(path, json={"quantity": "0.4"}))
    assert (smaller["quantity"], smaller["remaining_quantity"], smaller["price"]) == ("0.4", "0.4", "50000")
    assert alice.balance("USDT") == (980_000, 20_000)
    moved = accepted_change(alice.http.patch(path, json={"price": "51000", "quantity": "1"}))
    assert (moved["quantity"], moved["price"], moved["status"]) == ("1", "51000", "OPEN")
    assert alice.balance("USDT") == (949_000, 51_000)
    bob.sell("0.3")
    body = problem(alice.http.patch(path, json={"quantity": "0.3"}), 409, "quantity_not_above_filled")
    assert body["order"]["filled_quantity"] == "0.3"
    problem(alice.http.patch(path, json={"quantity": "20"}), 422, "insufficient_funds")
    problem(alice.http.patch(path, json={"price": "51000.001"}), 400, "invalid_request")
    alice.http.delete(path)
    problem(alice.http.patch(path, json={"price": "5"}), 409, "order_not_open")


def test_an_amendment_may_trade(alice: Trader, bob: Trader) -> None:
    bob.sell("0.5", "50000")
    order = alice.buy("1", "49000")
    changed = accepted_change(alice.http.patch(f"/orders/{order['order_id']}", json={"price": "50000"}))
    assert (changed["status"], changed["filled_quantity"]) == ("PARTIALLY_FILLED", "0.5")


def test_a_stop_has_no_price_to_amend(alice: Trader) -> None:
    stop = alice.sell("1", order_type="STOP", stop_price="40000")
    path = f"/orders/{stop['order_id']}"
    problem(alice.http.patch(path, json={"price": "39000"}), 409, "not_amendable")
    assert accepted_change(alice.http.patch(path, json={"quantity": "0.5"}))["quantity"] == "0.5"
    assert alice.balance("BTC") == (Decimal("9.5"), Decimal("0.5"))


def test_cancelling_all(alice: Trader, bob: Trader) -> None:
    kept = bob.buy("1", "90")
    bitcoin = [alice.buy("1", str(price))["order_id"] for price in (100, 101)]
    ether = alice.buy("1", "50", symbol="ETH/USDT")["order_id"]
    answer = alice.http.delete("/orders", params={"symbol": "BTC-USDT"})
    assert answer.status_code == 200
    assert {each["order_id"]: each["status"] for each in answer.json()["items"]} == dict.fromkeys(
        bitcoin, "CANCELLED"
    )
    answer = alice.http.delete("/orders")
    assert [each["order_id"] for each in answer.json()["items"]] == [ether]
    assert alice.http.delete("/orders").json() == {"items": []}
    assert alice.balance("USDT") == (1_000_000, 0)
    assert bob.get(f"/orders/{kept['order_id']}")["status"] == "OPEN"


def test_a_batch_answers_each_order_on_its_own(alice: Trader, bob: Trader) -> None:
    alice.sell("0.3", "50000")
    limit = {"symbol": "BTC/USDT", "side": "BUY", "order_type": "LIMIT", "quantity": "0.2", "price": "50000"}
    orders = [
        limit | {"client_order_id": "a"},
        limit | {"client_order_id": "b", "price": 50000, "side": "HOLD"},
        limit | {"client_order_id": "a"},
        limit | {"client_order_id": "a", "price": "49000"},
        limit | {"client_order_id": "c", "quantity": "100"},
        "no order",
        limit | {"client_order_id": "d"},
        {
            "symbol": "ETH/USDT",
            "side": "SELL",
            "order_type": "MARKET",
            "quantity": "1",
            "client_order_id": "e",
        },
    ]
    answer = bob.http.post("/orders/batch", json={"orders": orders})
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    assert [item["status"] for item in items] == [201, 400, 200, 409, 422, 400, 201, 422]
    assert items[0]["order"]["status"] == "FILLED"
    assert {error["field"] for error in items[1]["problem"]["errors"]} == {"price", "side"}
    assert items[2]["order"]["order_id"] == items[0]["order"]["order_id"]
    assert items[3]["problem"]["code"] == "client_order_id_conflict"
    assert items[4]["problem"]["code"] == "insufficient_funds"
    assert items[4]["problem"]["order"]["reason"] == "INSUFFICIENT_FUNDS"
    assert (items[6]["order"]["status"], items[6]["order"]["filled_quantity"]) == ("PARTIALLY_FILLED", "0.1")
    assert items[7]["problem"]["code"] == "no_liquidity"
    assert len(bob.get("/orders")["items"]) == 4


def test_a_hundred_orders_at_once(alice: Trader) -> None:
    order = {"symbol": "BTC/USDT", "side": "BUY", "order_type": "LIMIT", "quantity": "0.01", "price": "100"}
    orders = [order | {"client_order_id": f"n{number}"} for number in range(101)]
    problem(alice.http.post("/orders/batch", json={"orders": orders}), 400, "invalid_request")
    items = alice.http.post("/orders/batch", json={"orders": orders[:100]}).json()["items"]
    assert [item["status"] for item in items] == [201] * 100
    numbers = [item["order"]["number"] for item in items]
    assert numbers == sorted(set(numbers))


def test_lists_are_filtered_and_paged(alice: Trader) -> None:
    placed = [alice.buy("1", str(100 + number))["order_id"] for number in range(5)]
    ether = alice.buy("1", "50", symbol="ETH/USDT")
    alice.http.delete(f"/orders/{placed[2]}")

    def ids(**parameters: Any) -> list[str]:
        return [order["order_id"] for order in alice.get("/orders", **parameters)["items"]]

    assert ids() == [ether["order_id"], *reversed(placed)]
    assert ids(symbol="ETH/USDT") == ids(symbol="ETH-USDT") == [ether["order_id"]]
    assert ids(status="CANCELLED") == [placed[2]]
    assert ids(status="OPEN,FILLED", symbol="BTC/USDT") == [placed[4], placed[3], placed[1], placed[0]]
    assert ids(**{"from": ether["created_at"], "to": "2100-01-01T00:00:00Z"}) == [ether["order_id"]]
    assert ids(to=ether["created_at"]) == placed[::-1]
    assert ids(to="2020-01-01T00:00:00+03:00") == []

    seen, cursor = [], None
    while True:
        page = alice.get("/orders", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [order["order_id"] for order in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ids()


def test_pages_of_trades_and_ledger(live: Live, alice: Trader, bob: Trader) -> None:
    alice.sell("0.5", "50000")
    for _ in range(5):
        bob.buy("0.1", "50000")

    def all_pages(source: httpx.Client, path: str, limit: int, **parameters: Any) -> list[Any]:
        items: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            page = source.get(path, params={"limit": limit, **parameters, **cursor}).json()
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            assert len(page["items"]) == limit
            cursor = {"cursor": page["next_cursor"]}

    mine = all_pages(bob.http, "/trades/my", 2)
    assert [trade["number"] for trade in mine] == sorted((t["number"] for t in mine), reverse=True)
    assert len(mine) == len(all_pages(alice.http, "/trades/my", 5, symbol="BTC/USDT")) == 5
    everything = all_pages(live.public, "/trades", 3, symbol="BTC/USDT")
    numbers = [trade["number"] for trade in everything]
    assert numbers == list(range(numbers[0], 0, -1))
    ledger = all_pages(bob.http, "/ledger", 3)
    assert len(ledger) == len({each["posting_id"] for each in ledger}) == 3 + 2 * 5


def test_the_order_book(live: Live, alice: Trader) -> None:
    for price in ("50001", "50002", "50003"):
        alice.sell("0.5", price)
    alice.buy("0.25", "49999.99")
    alice.sell("0.25", "50001")
    asks = [["50001.00", "0.75000"], ["50002.00", "0.50000"], ["50003.00", "0.50000"]]
    bids = [["49999.99", "0.25000"]]
    book = wait_for(
        lambda: book_of(live, "BTC-USDT"), lambda book: (book["bids"], book["asks"]) == (bids, asks)
    )
    assert (book["symbol"], type(book["sequence"])) == ("BTC/USDT", int)
    depth = live.public.get("/orderbook/BTC-USDT/depth", params={"limit": 2}).json()
    assert (depth["bids"], depth["asks"]) == (bids, asks[:2])


def test_the_order_book_without_redis(live: Live, alice: Trader) -> None:
    alice.sell("0.5", "3000", symbol="ETH/USDT")
    alice.buy("0.25", "2999.99", symbol="ETH/USDT")
    wait_for(lambda: book_of(live, "ETH-USDT"), lambda book: len(book["asks"]) == 1)
    live.stack.stop("valkey")
    try:
        book = wait_for(lambda: book_of(live, "ETH-USDT"), lambda book: book["sequence"] is None)
        assert (book["bids"], book["asks"]) == ([["2999.99", "0.2500"]], [["3000.00", "0.5000"]])
        order = alice.buy("0.1", "2900", symbol="ETH/USDT")
        assert order["status"] == "OPEN"
    finally:
        live.stack.start("valkey")
    wait_for(lambda: book_of(live, "ETH-USDT"), lambda book: book["sequence"] is not None)


def test_a_late_matcher(live: Live, alice: Trader) -> None:
    resting = alice.buy("1", "50", symbol="ETH/USDT")
    live.stack.stop("matcher-beta")
    try:
        answer = alice.place("BUY", "1", "60", symbol="ETH/USDT", client_order_id="late")
        assert (answer.status_code, answer.json()["status"]) == (202, "PENDING")
        cancel = alice.http.delete(f"/orders/{resting['order_id']}")
        assert (cancel.status_code, cancel.json()["status"]) == (202, "OPEN")
    finally:
        live.stack.start("matcher-beta")
    path = f"/orders/{answer.json()['order_id']}"
    wait_for(lambda: alice.get(path), lambda order: order["status"] == "OPEN")
    wait_for(
        lambda: alice.get(f"/orders/{resting['order_id']}"), lambda order: order["status"] == "CANCELLED"
    )
    again = alice.place("BUY", "1", "60", symbol="ETH/USDT", client_order_id="late")
    assert (again.status_code, again.json()["status"]) == (200, "OPEN")


def test_a_halted_market(live: Live, alice: Trader) -> None:
    resting = alice.buy("1", "50", symbol="ETH/USDT")
    live.set_status("ETH/USDT", "HALTED")
    try:
        wait_for(lambda: symbol(live, "ETH/USDT"), lambda market: market["status"] == "HALTED")
        body = problem(alice.place("BUY", "1", "60", symbol="ETH/USDT"), 422, "market_halted")
        assert body["order"]["status"] == "REJECTED"
        path = f"/orders/{resting['order_id']}"
        problem(alice.http.patch(path, json={"price": "55"}), 409, "market_halted")
        assert alice.http.delete(path).status_code == 200
    finally:
        live.set_status("ETH/USDT", "TRADING")
    wait_for(lambda: symbol(live, "ETH/USDT"), lambda market: market["status"] == "TRADING")


def test_the_examples_of_the_document_work(live: Live, alice: Trader, bob: Trader) -> None:
    paths = live.public.get(f"{live.host}/api/schema").json()["paths"]

    def examples(path: str, method: str) -> list[Any]:
        content = paths[f"/api/v1{path}"][method]["requestBody"]["content"]["application/json"]
        return [example["value"] for example in content["examples"].values()]

    limit, market, stop = examples("/orders", "post")
    (batch,) = examples("/orders/batch", "post")
    (change,) = examples("/orders/{order_id}", "patch")
    order = accepted(alice.http.post("/orders", json=limit))
    accepted(alice.http.post("/orders", json=stop))
    assert accepted(bob.http.post("/orders", json=market))["status"] == "FILLED"
    changed = accepted_change(alice.http.patch(f"/orders/{order['order_id']}", json=change))
    assert changed["price"] == change["price"]
    items = accepted_change(bob.http.post("/orders/batch", json=batch))["items"]
    assert [item["status"] for item in items] == [201, 201]


def test_symbols(live: Live) -> None:
    bitcoin = symbol(live, "BTC/USDT")
    assert (bitcoin["slug"], bitcoin["base"], bitcoin["quote"]) == ("BTC-USDT", "BTC", "USDT")
    assert (bitcoin["tick_size"], bitcoin["lot_size"], bitcoin["status"]) == ("0.01", "0.00001", "TRADING")


def accepted_change(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def book_of(live: Live, slug: str) -> Any:
    return accepted_change(live.public.get(f"/orderbook/{slug}"))


def symbol(live: Live, name: str) -> Any:
    (found,) = [each for each in live.public.get("/symbols").json()["items"] if each["symbol"] == name]
    return found


def wait_for(look: Callable[[], Any], good: Callable[[Any], bool], seconds: float = 60) -> Any:
    """Looks again until what it sees is good: for what is only promised to be so soon."""
    deadline = time.monotonic() + seconds
    while not good(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    return seen
