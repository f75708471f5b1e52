"""The terminal as a page: signing in and out, languages, themes, a phone's width, keys, an institution's look."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, Open
from tests.browser.terminal import Terminal
from tests.conftest import OTHER_HOST
from tests.functional.live import Live, Trader

VIEWS = ("chart", "book", "order", "account", "markets")
SECOND_BANK = f"""
from exchange.platform.members.models import Brand, Institution, InstitutionHost
bank = Institution.objects.create(code="second", name="Second Bank")
InstitutionHost.objects.create(host="{OTHER_HOST}", institution=bank)
Brand.objects.create(institution=bank, name="Second Markets", accent="#a21caf")
"""


def fits(page: Page) -> bool:
    """Nothing is wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


def test_the_front_leads_to_a_market(open_terminal: Open) -> None:
    terminal = open_terminal("/")
    assert "/trade/" in terminal.page.url
    expect(terminal.get("symbol")).to_be_visible()
    expect(terminal.get("attribution")).to_be_visible()


def test_signing_in_lasts_over_a_reload_until_signing_out(terminal: Terminal, alice: Trader) -> None:
    expect(terminal.get("sign-in-to-trade")).to_be_visible()
    expect(terminal.get("submit")).to_be_hidden()
    terminal.sign_in(alice)
    expect(terminal.get("submit")).to_be_visible()
    terminal.page.reload()
    expect(terminal.get("email")).to_have_text(alice.email)
    terminal.get("sign-out").click()
    expect(terminal.get("sign-in-to-trade")).to_be_visible()
    terminal.page.reload()
    expect(terminal.get("sign-in-to-trade")).to_be_visible()


def test_a_wrong_password_is_said(terminal: Terminal, alice: Trader) -> None:
    terminal.allow("401")  # the browser notes each such answer on its console
    terminal.try_to_sign_in(alice.email, "wrong")
    expect(terminal.get("sign-in-error")).to_contain_text("password")
    expect(terminal.get("email")).to_be_hidden()


def test_both_languages(terminal: Terminal, alice: Trader) -> None:
    html = terminal.page.locator("html")
    expect(html).to_have_attribute("lang", "en")
    expect(terminal.get("tab-open")).to_contain_text("Open orders")
    terminal.get("language-tr").click()
    terminal.expect_live()
    expect(html).to_have_attribute("lang", "tr")
    expect(terminal.get("tab-open")).to_contain_text("Açık emirler")
    terminal.sign_in(alice)
    terminal.place("BUY", "LIMIT", "0,5", price="30000,5")
    (order,) = terminal.open_orders(1)
    expect(order).to_contain_text("30.000,5")
    (stored,) = alice.get("/orders", status="OPEN")["items"]
    assert (stored["price"], stored["quantity"]) == ("30000.5", "0.5")
    terminal.get("language-en").click()
    expect(html).to_have_attribute("lang", "en")


def test_a_browser_in_turkish_gets_turkish(open_terminal: Open) -> None:
    terminal = open_terminal(language="tr")
    expect(terminal.get("sign-in")).not_to_have_text("Sign in")
    expect(terminal.page.locator("html")).to_have_attribute("lang", "tr")


def test_dark_and_light(open_terminal: Open) -> None:
    background = "getComputedStyle(document.documentElement).backgroundColor"
    dark, light = (open_terminal(scheme=scheme) for scheme in ("dark", "light"))
    colours = {dark.page.evaluate(background), light.page.evaluate(background)}
    assert len(colours) == 2
    dark.get("theme").click()
    assert dark.page.evaluate(background) == light.page.evaluate(background)
    dark.page.reload()
    assert dark.page.evaluate(background) == light.page.evaluate(background)


def test_a_phone_needs_no_sideways_scrolling(open_terminal: Open, live: Live, alice: Trader) -> None:
    alice.buy("0.12345", "49999.99")
    alice.sell("0.12345", "50000.01")
    terminal = open_terminal(size=PHONE)
    assert fits(terminal.page)
    terminal.sign_in(alice)
    for view in VIEWS:
        terminal.get(f"view-{view}").click()
        expect(terminal.get(f"view-{view}")).to_have_attribute("aria-current", "page")
        assert fits(terminal.page), view
    terminal.get("view-account").click()
    for tab in ("history", "fills", "balances", "open"):
        terminal.tab(tab)
        assert fits(terminal.page), tab
    terminal.open_orders(2)
    terminal.get("view-book").click()
    terminal.get("bid-0").click()
    expect(terminal.get("price")).to_be_visible()  # a price from the book leads to the form
    expect(terminal.get("price")).to_have_value("49999.99")


def test_an_institutions_look_is_that_of_the_host(open_terminal: Open, live: Live) -> None:
    live.manage("shell", "-c", SECOND_BANK)
    ours, theirs = open_terminal(), open_terminal(host=OTHER_HOST)
    expect(theirs.get("brand")).to_contain_text("Second Markets")
    expect(theirs.page).to_have_title(re.compile("BTC/USDT · Second Markets$"))
    expect(ours.get("brand")).not_to_contain_text("Second Markets")
    accent = "getComputedStyle(document.documentElement).getPropertyValue('--brand-accent')"
    assert theirs.page.evaluate(accent).strip() == "#a21caf"
    assert ours.page.evaluate(accent).strip() != "#a21caf"


def test_keys(terminal: Terminal, alice: Trader) -> None:
    alice.buy("0.1", "49000")
    alice.buy("0.1", "48999")
    terminal.sign_in(alice)
    keyboard = terminal.page.keyboard
    expect(terminal.get("bid-1")).to_have_attribute("data-price", "48999.00")
    keyboard.press("s")
    expect(terminal.get("side-sell")).to_be_checked()
    expect(terminal.get("price")).to_be_focused()
    keyboard.type("b1")  # a letter is no number, and in a field no key either
    expect(terminal.get("side-sell")).to_be_checked()
    expect(terminal.get("price")).to_have_value("1")
    keyboard.press("Escape")
    keyboard.press("b")
    expect(terminal.get("side-buy")).to_be_checked()
    keyboard.press("Escape")
    keyboard.press("/")
    expect(terminal.get("market-search")).to_be_focused()
    keyboard.type("eth")
    expect(terminal.get("market-ETH-USDT")).to_be_visible()
    expect(terminal.get("market-BTC-USDT")).to_be_hidden()
    keyboard.press("Escape")
    keyboard.press("?")
    expect(terminal.get("help-dialog")).to_be_visible()
    keyboard.press("Escape")
    expect(terminal.get("help-dialog")).to_be_hidden()
    keyboard.press("o")
    expect(terminal.get("ladder")).to_be_focused()
    keyboard.press("ArrowDown")
    expect(terminal.get("bid-0")).to_have_attribute("data-active", "")
    keyboard.press("ArrowDown")
    keyboard.press("Enter")
    expect(terminal.get("price")).to_have_value("48999")
    terminal.get("quantity").fill("0.3")
    keyboard.press("Enter")
    terminal.open_orders(3)


def test_what_must_not_happen_would_be_seen(terminal: Terminal) -> None:
    """The watch that every test here relies on."""
    page = terminal.page
    page.evaluate("console.error('made here')")
    page.evaluate("setTimeout(() => { throw new Error('thrown here') })")
    with page.expect_console_message(lambda message: "policy: img-src" in message.text):
        page.evaluate("new Image().src = 'http://elsewhere.invalid/picture'")
    seen = terminal.complaints()
    for text in ("made here", "thrown here", "policy: img-src"):
        assert any(text in line for line in seen), seen
    terminal.allow("made here", "thrown here", "elsewhere.invalid", "img-src")
