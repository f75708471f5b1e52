"""API keys in the terminal: a secret shown once, a program that uses it, and an end to it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, Open
from tests.browser.terminal import Terminal
from tests.browser.test_page import fits
from tests.functional.live import Live, Trader
from tests.keys import load_client


def listed(terminal: Terminal, name: str) -> Any:
    return terminal.get("api-key").filter(has_text=name)


def day(days: int) -> str:
    """As a date field takes it, so many days from now."""
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


def open_keys(terminal: Terminal) -> None:
    terminal.get("api-keys").click()
    expect(terminal.get("api-keys-dialog")).to_be_visible()


def test_a_key_is_made_used_and_revoked(terminal: Terminal, alice: Trader, live: Live) -> None:
    terminal.allow("400", "401")  # the browser notes such answers on its console
    expect(terminal.get("api-keys")).to_be_hidden()
    terminal.sign_in(alice)
    open_keys(terminal)
    expect(terminal.get("api-keys-empty")).to_be_visible()
    terminal.get("api-key-new").click()
    terminal.get("api-key-name").fill("robot")
    terminal.get("api-key-trade").check()
    terminal.get("api-key-withdraw").check()
    terminal.get("api-key-make").click()
    expect(terminal.get("api-key-error")).to_contain_text("at least one address")
    terminal.get("api-key-addresses").fill("127.0.0.1\nbank")
    terminal.get("api-key-end").fill(day(-3))
    terminal.get("api-key-make").click()
    expect(terminal.get("api-key-error")).to_contain_text("bank is not an address")
    expect(terminal.get("api-key-error")).to_contain_text("in the future")
    terminal.get("api-key-addresses").fill("127.0.0.1")
    terminal.get("api-key-end").fill(day(3))
    terminal.get("api-key-make").click()

    secret, key_id = terminal.get("api-key-secret"), terminal.get("api-key-id")
    expect(secret).to_have_value(re.compile(r"^[\w-]{43}$"))
    client = load_client()
    program = client.Client(live.host, key_id.input_value(), client.hmac_sha256(secret.input_value()))
    assert program.request("GET", "/api/v1/orders")["items"] == []
    terminal.get("api-key-done").click()
    expect(secret).to_be_hidden()
    expect(secret).to_have_value("")
    expect(listed(terminal, "robot")).to_contain_text("read, trade, withdraw")
    expect(listed(terminal, "robot")).to_contain_text("127.0.0.1")

    revoke = listed(terminal, "robot").get_by_test_id("api-key-revoke")
    revoke.click()
    expect(revoke).to_have_text("Really revoke?")
    revoke.click()
    expect(listed(terminal, "robot")).to_contain_text("revoked")
    with pytest.raises(client.Refused, match="key_revoked"):
        program.request("GET", "/api/v1/orders")


def test_signing_out_leaves_nothing_of_a_secret(terminal: Terminal, alice: Trader, bob: Trader) -> None:
    terminal.sign_in(alice)
    open_keys(terminal)
    terminal.get("api-key-new").click()
    terminal.get("api-key-name").fill("robot")
    terminal.get("api-key-make").click()
    expect(terminal.get("api-key-secret")).not_to_have_value("")
    terminal.page.keyboard.press("Escape")
    expect(terminal.get("api-keys-dialog")).to_be_hidden()
    expect(terminal.get("api-key-secret")).to_have_value("")
    terminal.get("sign-out").click()
    terminal.sign_in(bob)
    open_keys(terminal)
    expect(terminal.get("api-keys-empty")).to_be_visible()
    expect(terminal.get("api-key")).to_have_count(0)


def test_in_turkish_and_on_a_phone(open_terminal: Open, alice: Trader) -> None:
    alice.http.post("/keys", json={"name": "robot", "scopes": ["TRADE"]}).raise_for_status()
    terminal = open_terminal(size=PHONE, language="tr")
    terminal.sign_in(alice)
    assert fits(terminal.page)
    open_keys(terminal)
    expect(listed(terminal, "robot")).to_contain_text("okuma, alım satım")
    terminal.get("api-key-new").click()
    terminal.get("api-key-name").fill("ikinci")
    terminal.get("api-key-kind").select_option("ED25519")
    terminal.get("api-key-public").fill("x")
    terminal.allow("400")
    terminal.get("api-key-make").click()
    expect(terminal.get("api-key-error")).to_contain_text("Ed25519")
    dialog = terminal.get("api-keys-dialog")
    assert dialog.evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")
