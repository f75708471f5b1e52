"""An operator halts a market in the back office: the terminal's orders are refused, until two people let it go on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.terminal import Terminal
from tests.browser.test_four_eyes import Enter, enter, look
from tests.functional.live import Live, Trader
from tests.market import eventually

__all__ = ["enter"]  # a fixture

SYMBOL = "BTC/USDT"


@pytest.fixture
def trades_again(live: Live) -> Iterator[None]:
    """Whatever becomes of the test."""
    yield
    items = live.public.get("/symbols").json()["items"]
    if {each["symbol"]: each["status"] for each in items}[SYMBOL] != "TRADING":
        live.set_status(SYMBOL, "TRADING")


def press(page: Page, button: str, reason: str) -> None:
    """A button of the market's page, and its form."""
    page.get_by_role("link", name=button, exact=True).click()
    expect(page.locator("#targets")).to_contain_text(SYMBOL)
    page.fill("textarea[name=reason]", reason)
    look(page, f"market-{button.lower().replace(' ', '-')}")
    page.get_by_role("button", name=button, exact=True).click()


def test_a_market_is_halted_and_its_orders_are_refused(
    enter: Enter, live: Live, terminal: Terminal, alice: Trader, trades_again: None
) -> None:
    terminal.allow("422")  # the browser notes each such answer on its console
    terminal.sign_in(alice)
    terminal.place("BUY", "LIMIT", "0.5", price="30000")
    (resting,) = terminal.open_orders(1)
    expect(resting).to_have_attribute("data-status", "OPEN")

    operator, _ = enter()
    operator.goto(f"{live.host}/admin/trading/instrument/?q={SYMBOL}")
    operator.get_by_role("link", name=SYMBOL).first.click()
    press(operator, "Halt", "prices outside look wrong")
    expect(operator.get_by_text(f"{SYMBOL}: TRADING → HALTED")).to_be_visible()
    expect(operator.get_by_text("prices outside look wrong")).to_be_visible()
    look(operator, "market-halted")

    terminal.place("BUY", "LIMIT", "0.1", price="30001")
    expect(terminal.toast("This market takes no such orders at the moment.")).to_be_visible()
    terminal.open_orders(1)

    press(operator, "Cancel orders", "they were placed on wrong prices")
    expect(operator.get_by_text("Open orders cancelled: 1")).to_be_visible()
    terminal.open_orders(0)
    terminal.tab("history")
    cancelled = terminal.get("closed-order").and_(terminal.page.locator('[data-status="CANCELLED"]'))
    expect(cancelled).to_contain_text("cancelled by the exchange")

    press(operator, "Post only", "try alone")
    expect(operator.get_by_text("a second person must approve")).to_be_visible()
    look(operator, "market-takes-two")
    operator.get_by_role("link", name="Back", exact=True).last.click()
    press(operator, "Resume", "prices are right again")
    expect(operator.get_by_text("Sent for approval")).to_be_visible()

    second, _ = enter()
    second.locator("tr", has_text="prices are right again").get_by_role("link").first.click()
    second.fill("#decision_reason", "seen it too")
    second.get_by_role("button", name="Approve").click()
    expect(second.get_by_role("button", name="Approve")).to_have_count(0)
    operator.reload()
    expect(operator.locator("div.readonly", has_text="TRADING")).to_be_visible()
    eventually(lambda: status(live) == "TRADING")  # the web process looks each second
    terminal.place("BUY", "LIMIT", "0.1", price="30001")
    (order,) = terminal.open_orders(1)
    expect(order).to_have_attribute("data-status", "OPEN")


def status(live: Live) -> str:
    """As the web process has it."""
    (listed,) = [each for each in live.public.get("/symbols").json()["items"] if each["symbol"] == SYMBOL]
    return str(listed["status"])
