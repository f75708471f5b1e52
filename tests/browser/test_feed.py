"""The terminal's feed: a moving market, and a connection that is lost and comes back with a right book."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

from playwright.sync_api import expect

from tests.browser.terminal import Terminal
from tests.functional.live import Live, Trader

POLLS, POLL_MS = 50, 200
RECOVERY_SECONDS = 60  # a process starts on a busy machine, and the page waits ever longer between its tries
LOST = "WebSocket connection to"  # what the browser writes on its console when it cannot connect


@contextmanager
def without_stream(live: Live) -> Iterator[None]:
    live.stack.kill("stream")
    live.stack.stop("stream")
    try:
        yield
    finally:
        live.stack.start("stream")


def build_a_book(trader: Trader, first: int, count: int) -> None:
    """So many bids below and asks above 50,000, a dollar apart."""
    orders = [
        {
            "symbol": "BTC/USDT",
            "side": side,
            "order_type": "LIMIT",
            "quantity": f"0.0{distance + 1}",
            "price": str(50_000 + sign * (distance + 1)),
            "client_order_id": f"book-{first}-{side}-{distance}",
        }
        for distance in range(first, first + count)
        for side, sign in (("BUY", -1), ("SELL", 1))
    ]
    answer = trader.http.post("/orders/batch", json={"orders": orders})
    assert {item["status"] for item in answer.json()["items"]} == {201}, answer.text


def expect_the_exchanges_book(terminal: Terminal, live: Live) -> None:
    """Both are a moment behind the market: the ladder a frame, REST a second."""
    for _ in range(POLLS):
        book = live.public.get("/orderbook/BTC-USDT").json()
        shown = {side: terminal.ladder(side) for side in ("bid", "ask")}
        wanted = {
            side: [
                [f"{Decimal(price):.2f}", f"{Decimal(quantity):,.5f}"] for price, quantity in book[f"{side}s"]
            ]
            for side in ("bid", "ask")
        }
        if all(shown[side] == wanted[side][: terminal.rows(side)] for side in shown):
            return
        terminal.page.wait_for_timeout(POLL_MS)
    assert shown == wanted


def test_a_killed_stream_comes_back_with_a_right_book(
    terminal: Terminal, live: Live, alice: Trader, bob: Trader, new_trader: Callable[[], Trader]
) -> None:
    carol = new_trader()
    terminal.allow(LOST)
    terminal.sign_in(alice)
    build_a_book(bob, 0, 3)
    terminal.place("BUY", "LIMIT", "0.5", price="49000")
    terminal.open_orders(1)
    expect_the_exchanges_book(terminal, live)

    with without_stream(live):
        expect(terminal.page.locator("html")).to_have_attribute("data-state", "offline")
        expect(terminal.get("banner")).to_be_visible()
        build_a_book(bob, 3, 3)
        carol.sell("0.51", "49999")  # takes the best bid, and the rest of it is the best ask
        (order,) = alice.get("/orders", status="OPEN")["items"]
        alice.http.delete(f"/orders/{order['order_id']}").raise_for_status()

    terminal.expect_live(RECOVERY_SECONDS)
    expect(terminal.get("banner")).to_be_hidden()
    terminal.open_orders(0)
    expect(terminal.get("trade-0")).to_contain_text("49,999.00")
    expect_the_exchanges_book(terminal, live)
    carol.sell("0.02", "49998")
    expect(terminal.get("trade-0")).to_contain_text("49,998.00")
    expect_the_exchanges_book(terminal, live)


def test_away_from_the_network_and_back(terminal: Terminal, live: Live, bob: Trader) -> None:
    terminal.allow(LOST, "ERR_INTERNET_DISCONNECTED")
    build_a_book(bob, 0, 2)
    expect_the_exchanges_book(terminal, live)
    terminal.page.context.set_offline(True)
    expect(terminal.page.locator("html")).to_have_attribute("data-state", "offline")
    build_a_book(bob, 2, 2)
    terminal.page.context.set_offline(False)
    terminal.expect_live()
    expect_the_exchanges_book(terminal, live)


def test_a_moving_market(terminal: Terminal, live: Live, new_trader: Callable[[], Trader]) -> None:
    terminal.sign_in(new_trader())
    live.manage("simulate", "--seconds", "4", "--rate", "60", "--seed", "1")
    expect(terminal.get("tape").locator("li").nth(1)).to_be_visible()
    expect(terminal.get("ticker-last")).not_to_have_text("–")
    expect(terminal.get("market-ETH-USDT")).not_to_contain_text("–")
    expect(terminal.get("chart").locator("canvas").first).to_be_visible()
    expect_the_exchanges_book(terminal, live)
