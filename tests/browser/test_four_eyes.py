"""Two people adjust a balance in the back office, each in a browser of their own, signed in with both factors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.terminal import VIOLATION
from tests.functional.live import Live, Trader
from tests.staff import PASSWORD

DESK = {"width": 1440, "height": 1000}
QUEUE = "/admin/approvals/approval/"
STAFF = """
from uuid import uuid4
from tests.staff import staff, totp
user = staff(email=f"{uuid4().hex[:6]}@staff.example")
print(user.email, totp(user))
"""

Enter = Callable[[], tuple[Page, str]]


@pytest.fixture
def enter(browser: Browser, live: Live) -> Iterator[Enter]:
    """Signs a new member of the platform's staff in; their page and e-mail. Complaints of the browser fail."""
    said: list[str] = []
    contexts: list[BrowserContext] = []

    def sign_in() -> tuple[Page, str]:
        email, code = live.manage("shell", "-v", "0", "-c", STAFF).split()[-2:]
        contexts.append(browser.new_context(viewport=DESK, locale="en"))  # type: ignore[arg-type]
        contexts[-1].set_default_timeout(10_000)
        page = contexts[-1].new_page()
        page.add_init_script(VIOLATION)
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(live.host + QUEUE)
        page.fill("input[name=username]", email)
        page.fill("input[name=password]", PASSWORD)
        page.click("button[type=submit]")
        page.fill("input[name=code]", code)
        page.click("button[type=submit]")
        page.wait_for_url(f"**{QUEUE}")
        return page, email

    yield sign_in
    for context in contexts:
        context.close()
    assert said == []


def look(page: Page, name: str) -> None:
    """Keeps a picture where SCREENSHOTS says to."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_an_adjustment_by_two_people(enter: Enter, alice: Trader) -> None:
    before, _ = alice.balance("USDT")
    first, anna = enter()
    first.get_by_role("link", name="Ask for: balance adjustment").click()
    first.fill("input[name=email]", alice.email)
    first.select_option("select[name=asset]", label="USDT")
    first.fill("input[name=amount]", "12.5")
    first.fill("textarea[name=reason]", "the transfer of Monday was not booked")
    look(first, "approval-ask")
    first.get_by_role("button", name="Send for approval").click()
    expect(first.get_by_text("Sent for approval")).to_be_visible()
    expect(first.get_by_role("button", name="Withdraw")).to_be_visible()
    expect(first.get_by_role("button", name="Approve")).to_have_count(0)
    assert alice.balance("USDT")[0] == before

    second, _ben = enter()
    row = second.locator("tr", has_text=alice.email)
    expect(row).to_contain_text(anna)
    look(second, "approval-queue")
    row.get_by_role("link").first.click()
    values = second.locator("tr", has_text="available")
    expect(values).to_contain_text(f"{before:f}")
    expect(values).to_contain_text(f"{before + Decimal('12.5'):f}")
    second.get_by_role("button", name="Approve").click()
    expect(second.get_by_text("give a reason")).to_be_visible()
    assert alice.balance("USDT")[0] == before
    second.fill("#decision_reason", "seen on the statement")
    look(second, "approval-decide")
    second.get_by_role("button", name="Approve").click()
    expect(second.get_by_text("balance adjustment: approved")).to_be_visible()
    expect(second.get_by_role("button", name="Approve")).to_have_count(0)
    look(second, "approval-approved")
    assert alice.balance("USDT")[0] == before + Decimal("12.5")
    first.reload()
    expect(first.locator("tr", has_text="seen on the statement")).to_contain_text("approved")
