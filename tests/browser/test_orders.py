"""Trading at the terminal: each type of order, its fill as the feed brings it, changing and cancelling."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from playwright.sync_api import expect

from tests.browser.terminal import Terminal
from tests.functional.live import Trader


def test_a_limit_order_rests_and_its_fill_arrives_on_the_feed(
    terminal: Terminal, alice: Trader, bob: Trader
) -> None:
    terminal.sign_in(alice)
    terminal.place("BUY", "LIMIT", "0.5", price="50000")
    (order,) = terminal.open_orders(1)
    expect(order).to_have_attribute("data-status", "OPEN")
    expect(terminal.get("bid-0")).to_have_attribute("data-price", "50000.00")
    expect(terminal.get("bid-0")).to_have_attribute("data-own", "")
    expect(terminal.get("available")).to_have_text("975,000 USDT")

    bob.sell("0.2", "50000")
    expect(order).to_have_attribute("data-status", "PARTIALLY_FILLED")
    expect(terminal.get("trade-0")).to_contain_text("50,000.00")
    expect(terminal.get("trade-0")).to_have_attribute("data-side", "SELL")
    expect(terminal.get("ladder-last")).to_have_text("50,000.00")
    bob.sell("0.3", "50000")
    terminal.open_orders(0)
    expect(terminal.get("bid-0")).not_to_have_attribute("data-price", "50000.00")
    expect(terminal.toast("Bought 0.5 BTC at 50,000")).to_be_visible()

    terminal.tab("fills")
    expect(terminal.get("own-trade")).to_have_count(2)
    expect(terminal.get("own-trade").first).to_contain_text("0.3")
    expect(terminal.get("own-trade").first).to_contain_text("maker")
    terminal.tab("history")
    expect(terminal.get("closed-order")).to_have_attribute("data-status", "FILLED")
    terminal.tab("balances")
    expect(terminal.get("balance-BTC")).to_have_attribute("data-available", "10.4995")
    expect(terminal.get("balance-USDT")).to_have_attribute("data-available", "975000")


def test_a_market_order_is_filled_at_once(terminal: Terminal, alice: Trader, bob: Trader) -> None:
    bob.sell("0.1", "50000")
    bob.sell("0.1", "50100")
    terminal.sign_in(alice)
    expect(terminal.get("ask-0")).to_have_attribute("data-price", "50000.00")
    terminal.choose("type-MARKET")
    terminal.get("quantity").fill("0.2")
    expect(terminal.get("average")).to_have_text(re.compile("50,050"))
    terminal.place("BUY", "MARKET", "0.2")
    expect(terminal.toast("Bought 0.2 BTC at 50,050")).to_be_visible()
    terminal.open_orders(0)
    terminal.tab("fills")
    expect(terminal.get("own-trade")).to_have_count(2)
    expect(terminal.get("own-trade").first).to_contain_text("taker")
    terminal.tab("balances")
    expect(terminal.get("balance-USDT")).to_have_attribute("data-available", "989990")


def test_stops_wait_and_go_when_their_price_is_traded(
    terminal: Terminal, alice: Trader, bob: Trader, new_trader: Callable[[], Trader]
) -> None:
    carol = new_trader()
    bob.buy("0.1", "50000")
    carol.sell("0.1", "50000")
    expect(terminal.get("ticker-price")).to_have_text("50,000.00")
    terminal.sign_in(alice)
    terminal.place("SELL", "STOP", "0.1", stop="40000")
    (stop,) = terminal.open_orders(1)
    expect(stop).to_have_attribute("data-status", "PENDING_TRIGGER")
    expect(stop).to_contain_text("40,000")
    terminal.place("SELL", "STOP_LIMIT", "0.2", price="39950", stop="40000")
    (limit, _) = terminal.open_orders(2)
    expect(limit).to_have_attribute("data-status", "PENDING_TRIGGER")
    assert alice.balance("BTC") == (Decimal("9.7"), Decimal("0.3"))

    bob.buy("0.1", "39900")  # for the stop to meet
    bob.buy("0.1", "40000")
    carol.sell("0.1", "40000")  # the last trade's price is theirs now
    expect(terminal.toast("Sold 0.1 BTC at 39,900")).to_be_visible()
    (limit,) = terminal.open_orders(1)
    expect(limit).to_have_attribute("data-status", "OPEN")
    expect(terminal.get("ask-0")).to_have_attribute("data-price", "39950.00")
    terminal.tab("fills")
    expect(terminal.get("own-trade")).to_have_count(1)
    expect(terminal.get("own-trade")).to_contain_text("39,900")


def test_an_order_is_changed(terminal: Terminal, alice: Trader) -> None:
    terminal.sign_in(alice)
    terminal.place("BUY", "LIMIT", "0.5", price="30000")
    (order,) = terminal.open_orders(1)
    order.get_by_test_id("amend").click()
    order.get_by_test_id("amend-price").fill("31000.5")
    order.get_by_test_id("amend-quantity").fill("0.4")
    order.get_by_test_id("amend-save").click()
    expect(order).to_contain_text("31,000.5")
    expect(order).to_contain_text("0.4")
    expect(terminal.get("bid-0")).to_have_attribute("data-price", "31000.50")
    expect(terminal.get("available")).to_have_text("987,599.8 USDT")
    (stored,) = alice.get("/orders", status="OPEN")["items"]
    assert (stored["price"], stored["quantity"]) == ("31000.5", "0.4")


def test_orders_are_cancelled_one_and_all(terminal: Terminal, alice: Trader) -> None:
    terminal.sign_in(alice)
    for price in ("30000", "30001", "30002"):
        terminal.place("BUY", "LIMIT", "0.1", price=price)
    rows = terminal.open_orders(3)
    expect(terminal.get("open-count")).to_have_text("3")
    rows[0].get_by_test_id("cancel").click()
    terminal.open_orders(2)
    terminal.get("cancel-all").click()
    terminal.open_orders(0)
    expect(terminal.get("open-empty")).to_be_visible()
    expect(terminal.get("available")).to_have_text("1,000,000 USDT")
    expect(terminal.get("bid-0")).to_have_attribute("data-empty", "")
    assert alice.get("/orders", status="OPEN")["items"] == []


def test_what_is_wrong_is_said_before_and_after_sending(
    terminal: Terminal, alice: Trader, bob: Trader
) -> None:
    terminal.allow("422")  # the browser notes each such answer on its console
    terminal.sign_in(alice)
    terminal.place("BUY", "LIMIT", "0.5", price="50000.001")
    expect(terminal.get("price-error")).to_contain_text("0.01")
    terminal.place("BUY", "LIMIT", "21", price="50000")
    expect(terminal.get("form-error")).to_contain_text("enough")
    terminal.open_orders(0)
    bob.sell("0.1", "50000")
    expect(terminal.get("ask-0")).to_have_attribute("data-price", "50000.00")
    terminal.get("post-only").check()
    terminal.place("BUY", "LIMIT", "0.1", price="50000")
    expect(terminal.toast("post only")).to_be_visible()
    terminal.open_orders(0)
