"""Staff at a real browser: signing in with a phone, and what those of one institution find at addresses of another."""

from __future__ import annotations

import json
import re
from base64 import b32decode
from collections.abc import Callable, Iterator

import jwt
import pytest
from django_otp.oath import TOTP
from playwright.sync_api import Browser, Page, expect

from tests.browser.terminal import VIOLATION
from tests.functional.live import Live, Trader

PASSWORD = "demo-pass"
NOT_LET_IN = "Failed to load resource"  # what the console says of a 4xx that a test asks for

Visit = Callable[[], Page]


@pytest.fixture
def visit(browser: Browser, live: Live) -> Iterator[Visit]:
    """A browser that nobody has signed in with yet. What it complains of fails the test."""
    said: list[str] = []
    contexts = []

    def open_page() -> Page:
        context = browser.new_context(locale="en", viewport={"width": 1280, "height": 900})
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(VIOLATION)
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{live.host}/admin/")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [line for line in said if NOT_LET_IN not in line] == []


def give_password(page: Page, email: str) -> None:
    page.locator("[name=username]").fill(email)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("#login-form button[type=submit]").click()


def give_code(page: Page, code: str) -> None:
    page.locator("[name=code]").fill(code)
    page.locator("#code-form button[type=submit]").click()


def enrol(page: Page, email: str, code: str = "") -> None:
    """The first sign-in, with a phone that reads the secret from the page; `code` is for enrolling it."""
    give_password(page, email)
    if code:
        expect(page.locator("#phone-secret")).to_have_count(0)
        give_code(page, code)
    expect(page.locator("#phone-picture svg")).to_be_visible()
    secret = page.locator("#phone-secret").inner_text().replace(" ", "")
    totp = TOTP(b32decode(secret + "=" * (-len(secret) % 8)))
    give_code(page, f"{totp.token():06d}")
    expect(page).not_to_have_url(re.compile("/login/"))


def code_of(live: Live, email: str) -> str:
    return str(json.loads(live.manage("second_factor", email, "--show", "--json"))["code"])


def reset(live: Live, email: str) -> str:
    """The code with which another phone is enrolled."""
    return str(json.loads(live.manage("second_factor", email, "--reset", "--json"))["enrolment_code"])


def test_staff_sign_in_with_password_and_code(visit: Visit, live: Live) -> None:
    email = "support@demo.exchange"
    page = visit()
    enrol(page, email, reset(live, email))
    page.goto(f"{live.host}/admin/sign-ins/")
    expect(page.locator("#sign-ins tbody tr").first).to_contain_text("this one")

    other = visit()
    give_password(other, email)
    expect(other.locator("#phone-secret")).to_have_count(0)
    used = code_of(live, email)
    give_code(other, used)
    expect(other).not_to_have_url(re.compile("/login/"))

    third = visit()
    give_password(third, email)
    give_code(third, used)
    expect(third.locator("#code-form")).to_contain_text("was used before")
    third.goto(f"{live.host}/admin/trading/order/")
    expect(third.locator("#login-form")).to_be_visible()

    page.locator("form[action$='/sign-ins/end/'] button").click()
    other.goto(f"{live.host}/admin/sign-ins/")
    expect(other.locator("#login-form")).to_be_visible()
    expect(other.locator("body")).to_contain_text("Your session has ended")


def test_a_tenant_finds_nothing_at_anothers_addresses(visit: Visit, live: Live, alice: Trader) -> None:
    """alice is of the demo bank; the visitor works for Crescent Invest."""
    order = alice.buy("0.01", "1000")
    user = jwt.decode(alice.token, options={"verify_signature": False})["user_id"]
    email = "admin@crescent.exchange"
    page = visit()
    enrol(page, email, reset(live, email) if _has_phone(live, email) else "")
    addresses = [
        f"/admin/members/user/{user}/change/",
        f"/admin/members/user/{user}/password/",
        f"/admin/members/user/{user}/history/",
        f"/admin/members/user/?q={alice.email.replace('@', '%40')}",
        f"/admin/trading/order/{order['order_id']}/change/",
        f"/admin/trading/order/?user={user}",
        f"/admin/trading/order/?q={order['order_id']}",
        f"/admin/trading/account/?user__id__exact={user}",
        f"/admin/find?q={order['order_id']}",
    ]
    for address in addresses:
        page.goto(live.host + address)
        for told in (alice.email, "Demo Bank"):
            expect(page.locator("body")).not_to_contain_text(told)
        expect(page.locator(f"a[href*='{user}']")).to_have_count(0)
        expect(page.locator(f"a[href*='{order['order_id']}/change']")).to_have_count(0)
    page.goto(f"{live.host}/admin/members/user/")
    expect(page.locator("#result_list")).to_contain_text(email)
    expect(page.locator("#result_list")).not_to_contain_text("@demo.exchange")


def _has_phone(live: Live, email: str) -> bool:
    """A test may run more than once on the same exchange."""
    shell = "from exchange.platform.members import second_factor; from exchange.platform.members.models import User; "
    shell += f"print(second_factor.enrolled(User.objects.get(email={email!r})))"
    return live.manage("shell", "-v", "0", "-c", shell).split()[-1] == "True"
