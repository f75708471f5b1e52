"""The back office's first page in a browser: it follows what happens, without a reload, under its content policy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser.terminal import VIOLATION
from tests.functional.live import Live, Trader

DESK: ViewportSize = {"width": 1440, "height": 1000}
SESSION = """
from exchange.platform.members.models import Institution, User
from tests.staff import signed_in, staff
institution = Institution.objects.filter(code={code!r}).first()
print(signed_in(staff({role!r}, institution, {email!r})).cookies["sessionid"].value)
"""

Enter = Callable[..., Page]


@pytest.fixture
def enter(browser: Browser, live: Live) -> Iterator[Enter]:
    """Opens an admin page as new staff of a role, who have given both factors. Complaints of the browser fail."""
    said: list[str] = []
    contexts = []

    def open_page(
        path: str, role: str = "PLATFORM_ADMIN", institution: str = "", language: str = "en"
    ) -> Page:
        made = live.manage(
            "shell",
            "-v",
            "0",
            "-c",
            SESSION.format(code=institution, role=role, email=f"{uuid4()}@staff.example"),
        )
        key = made.split()[-1]
        context = browser.new_context(viewport=DESK, locale=language)
        context.set_default_timeout(60_000)
        context.add_cookies([{"name": "sessionid", "value": key, "url": live.host}])
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(VIOLATION)
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(live.host + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def look(page: Page, name: str) -> None:
    """Keeps a picture where SCREENSHOTS says to."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_the_dashboard_follows_what_happens(enter: Enter, alice: Trader, bob: Trader) -> None:
    page = enter("/admin/")
    marked = page.evaluate("window.same = 1")
    alice.sell("0.5", "50000")
    row = page.locator("tr", has_text="BTC/USDT").first
    expect(row).to_contain_text("50000", timeout=20_000)
    bob.buy("0.2", "50000")
    expect(row).to_contain_text("0.3", timeout=20_000)
    expect(page.locator(".bo-health")).to_be_visible()
    assert page.evaluate("window.same") == marked, "the page was loaded anew"
    edge = page.locator(".bo-scroll").bounding_box()
    for chart in page.locator(".bo-spark svg").all():
        drawn = chart.bounding_box()
        assert edge and drawn and drawn["x"] + drawn["width"] <= edge["x"] + edge["width"], (
            "its end is hidden"
        )
    look(page, "dashboard")
