"""The terminal works out that a trader's balances are in the published proof, and sees through a wrong one."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from playwright.sync_api import Route, expect

from tests.browser.terminal import Terminal
from tests.functional.live import FUNDS, Live, Trader

TAMPER: dict[str, Callable[[Any], object]] = {
    "your leaf does not lead to the published root": lambda item: item["leaves"][0].update(amount="1"),
    "one leaf is counted twice": lambda item: item["leaves"].append(item["leaves"][0]),
    "the root was not signed with the exchange's key": lambda item: item["document"]["report"].update(
        taken_at="2026-01-01"
    ),
    "this is not a proof": lambda item: item["leaves"][0]["path"][0].update(sum="-5"),
}


def shown(amount: str) -> str:
    return f"{Decimal(amount):,f}"


def test_a_trader_finds_their_balances_in_the_proof(terminal: Terminal, live: Live, alice: Trader) -> None:
    live.manage("proof_of_solvency")
    terminal.sign_in(alice)
    terminal.tab("balances")
    terminal.get("proof-check").click()
    for asset, amount in FUNDS.items():
        row = terminal.get(f"proof-{asset}")
        expect(row).to_contain_text(f"Your {shown(amount)} {asset} are in it.")
        expect(row).to_have_attribute("data-right", "yes")
        expect(row).not_to_contain_text("not checked")
    with terminal.page.expect_download() as download:
        terminal.get("proof-save").click()
    saved = json.loads(download.value.path().read_text())
    assert {item["asset"] for item in saved["items"]} >= set(FUNDS)

    def tampering(says: str) -> Callable[[Route], None]:
        def answer(route: Route) -> None:
            response = route.fetch()
            body = response.json()
            for item in body["items"]:
                if item["leaves"]:
                    TAMPER[says](item)
            route.fulfill(response=response, json=body)

        return answer

    for says in TAMPER:
        terminal.page.route("**/api/v1/solvency", tampering(says))
        terminal.get("proof-check").click()
        row = terminal.get("proof-BTC")
        expect(row).to_contain_text(f"WRONG: {says}")
        expect(row).to_have_attribute("data-right", "no")
        terminal.page.unroute("**/api/v1/solvency")
    terminal.get("proof-check").click()
    expect(terminal.get("proof-BTC")).to_have_attribute("data-right", "yes")
