"""The terminal as a test uses it: what a person does there and sees there, by the page's `data-testid`s."""

from __future__ import annotations

from playwright.sync_api import ConsoleMessage, Locator, Page, expect

from tests.functional.live import PASSWORD, Trader

VIOLATION = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


class Terminal:
    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self._allowed: list[str] = []
        self._complaints: list[str] = []
        page.add_init_script(VIOLATION)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self._complaints.append(f"exception: {error}"))

    def allow(self, *texts: str) -> None:
        """Console errors with one of these texts are what the test wants to see."""
        self._allowed += texts

    def complaints(self) -> list[str]:
        return [line for line in self._complaints if not any(text in line for text in self._allowed)]

    def open(self, path: str) -> None:
        """Until the feed is live."""
        self.page.goto(self.address + path)
        self.expect_live()

    def expect_live(self, seconds: float = 30) -> None:
        expect(self.page.locator("html")).to_have_attribute("data-state", "live", timeout=1000 * seconds)

    def get(self, test_id: str) -> Locator:
        return self.page.get_by_test_id(test_id)

    def sign_in(self, trader: Trader) -> None:
        self.try_to_sign_in(trader.email, PASSWORD)
        expect(self.get("email")).to_have_text(trader.email)
        expect(self.get("available")).not_to_have_text("–")

    def try_to_sign_in(self, email: str, password: str) -> None:
        self.get("sign-in").click()
        self.get("sign-in-email").fill(email)
        self.get("sign-in-password").fill(password)
        self.get("sign-in-submit").click()

    def choose(self, test_id: str) -> None:
        """One of several: a label is what people click."""
        self.get(test_id).locator("xpath=..").click()
        expect(self.get(test_id)).to_be_checked()

    def place(
        self, side: str, kind: str, quantity: str, *, price: str | None = None, stop: str | None = None
    ) -> None:
        """Fill in the form and send it."""
        self.choose(f"side-{side.lower()}")
        self.choose(f"type-{kind}")
        for field, value in (("stop-price", stop), ("price", price), ("quantity", quantity)):
            if value is not None:
                self.get(field).fill(value)
        self.get("submit").click()

    def tab(self, name: str) -> None:
        """open, history, fills or balances."""
        self.get(f"tab-{name}").click()

    def open_orders(self, count: int) -> list[Locator]:
        """The rows of the open orders, newest first, when there are so many. Each stays on its order."""
        self.tab("open")
        rows = self.get("open-order")
        expect(rows).to_have_count(count)
        expect(rows.and_(self.page.locator('[data-status="SENDING"]'))).to_have_count(0)
        names = [rows.nth(number).get_attribute("data-client") for number in range(count)]
        return [self.page.locator(f'[data-testid="open-order"][data-client="{name}"]') for name in names]

    def rows(self, side: str) -> int:
        """How many levels of a side the ladder has room for."""
        return self.get("ladder").locator(f'[data-side="{side}"]').count()

    def ladder(self, side: str) -> list[list[str]]:
        """Price and quantity of each level that is shown, best first."""
        levels: list[list[str]] = (
            self.get("ladder")
            .locator(f'[data-side="{side}"][data-price]')
            .evaluate_all(
                """rows => rows
                .sort((a, b) => a.id.split("-")[1] - b.id.split("-")[1])
                .map(row => [row.dataset.price, row.querySelector(".quantity").textContent])"""
            )
        )
        return levels

    def toast(self, text: str) -> Locator:
        return self.get("toast").filter(has_text=text).first

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")
