"""A real Chromium in front of a whole exchange. Every page is watched: an error on its console, an exception in
its scripts or a violation of its content policy fails the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.browser.terminal import Terminal
from tests.functional.live import Live

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
]
DESKTOP, PHONE = (1440, 900), (390, 844)
PATIENCE_MS = 10_000

Open = Callable[..., Terminal]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Ends with these tests: it runs an event loop on this thread, on which Django's ORM refuses to work."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser: install Chromium, or set CHROMIUM (looked for {', '.join(BROWSERS)})")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=ARGUMENTS)


@pytest.fixture
def open_terminal(browser: Browser, live: Live) -> Iterator[Open]:
    """Opens the terminal in a browser profile of its own, and looks at its end whether all was well."""
    opened: list[tuple[BrowserContext, Terminal]] = []

    def open_one(
        path: str = "/trade/BTC-USDT",
        *,
        size: tuple[int, int] = DESKTOP,
        language: str = "en",
        host: str = "localhost",
        scheme: str = "dark",
    ) -> Terminal:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            locale=language,
            color_scheme="light" if scheme == "light" else "dark",
            has_touch=size == PHONE,
        )
        context.set_default_timeout(PATIENCE_MS)
        port = live.stack.env["EXCHANGE_HTTP_PORT"]
        terminal = Terminal(context.new_page(), f"http://{host}:{port}")
        opened.append((context, terminal))
        terminal.open(path)
        return terminal

    yield open_one
    complaints = [line for _, terminal in opened for line in terminal.complaints()]
    for context, _ in opened:
        context.close()
    assert complaints == []


@pytest.fixture
def terminal(open_terminal: Open) -> Terminal:
    """At a desk, in English, nobody signed in."""
    return open_terminal()
