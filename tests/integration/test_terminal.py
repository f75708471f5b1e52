"""The terminal's page as the server makes it: policy, languages, the look of the host's institution, the
session's cookie, and the files it is made of. What it does in a browser is in `tests/browser`.
"""

from __future__ import annotations

import gettext
import hashlib
import json
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile, UploadedFile
from django.template.base import Origin
from django.test import Client
from django.utils.datastructures import MultiValueDict
from django.utils.translation import templatize
from pytest_django import DjangoDbBlocker

from exchange import pages
from exchange.base.env import env
from exchange.platform.members import branding, branding_rules
from exchange.platform.members.admin import BrandForm
from exchange.platform.members.models import Brand, Institution, InstitutionHost, User
from exchange.terminal import session
from tests.market import Desk, lasting_desk
from tests.staff import signed_in, staff
from trading.reference.catalog import catalog

pytestmark = pytest.mark.django_db

PAGE = "/trade/BTC-USDT"
APP = settings.BASE_DIR / "exchange" / "terminal"
STATIC = APP / "static" / "terminal"
SCRIPTS = sorted((STATIC / "js").glob("*.js"))
TEMPLATES = sorted((settings.BASE_DIR / "templates" / "terminal").glob("*.html"))
TURKISH = settings.BASE_DIR / "locale" / "tr" / "LC_MESSAGES"
LOGO = (settings.BASE_DIR / "exchange" / "platform" / "members" / "demo" / "crescent.png").read_bytes()
PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def desk(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Desk]:
    with lasting_desk(django_db_blocker) as made:
        yield made


@pytest.fixture
def bank(desk: Desk) -> Institution:
    """Reached at trade.localhost, with a look of its own."""
    bank = Institution.objects.create(code="branded", name="The Bank")
    InstitutionHost.objects.create(institution=bank, host="trade.localhost")
    colours = {"accent": "#7B3FE4", "buy": "#ffd166", "sell": "#402000"}
    Brand.objects.create(institution=bank, name="Bank Markets", logo=LOGO, **colours)
    return bank


def html(path: str = PAGE, **headers: str) -> str:
    response = Client(headers=headers).get(path)
    assert response.status_code == 200, response
    return str(response.content.decode())


def embedded(page: str, name: str) -> Any:
    found = re.search(rf'<script id="{name}" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found, name
    return json.loads(found[1])


# The page


def test_the_front_leads_to_the_first_market_or_to_the_status(desk: Desk) -> None:
    assert Client().get("/")["Location"] == PAGE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "markets", list)
        assert Client().get("/")["Location"] == "/status"


@pytest.mark.parametrize("path", ["/trade/XXX-USDT", "/trade/BTC%2FUSDT", "/trade/btc-usdt"])
def test_an_unknown_market_is_not_found(desk: Desk, path: str) -> None:
    assert Client().get(path).status_code == 404


def test_the_policy_allows_our_own_files_and_the_feed_alone(desk: Desk) -> None:
    policy = Client().get(PAGE)["Content-Security-Policy"]
    parts = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    assert parts["default-src"] == "'none'"
    assert parts["script-src"] == parts["style-src"] == parts["img-src"] == "'self'"
    assert parts["connect-src"] == f"'self' ws://testserver:{env.exchange_ws_port}"
    assert parts["trusted-types"] == "'none'"
    assert "unsafe" not in policy
    assert "*" not in policy


def test_the_feeds_address_may_be_another(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "wss://stream.bank.example/stream"
    monkeypatch.setattr(pages, "env", env.model_copy(update={"exchange_stream_url": address}))
    response = Client().get(PAGE)
    assert "connect-src 'self' wss://stream.bank.example;" in response["Content-Security-Policy"]
    assert embedded(response.content.decode(), "config")["stream"] == address


def test_the_page_has_nothing_its_policy_would_refuse(desk: Desk) -> None:
    page = html()
    assert not re.search(r"\sstyle=|\son\w+=|javascript:|<style", page)
    assert not re.search(r"<script(?![^>]*(?: src=|application/json))", page)
    fetched = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"([^\"]+)\"", page)
    assert fetched
    assert all(address.startswith("/") and not address.startswith("//") for address in fetched)
    for address in fetched:
        assert Client().get(address).status_code == 200, address


def test_every_control_has_a_name_for_tests_and_ids_are_unique(desk: Desk) -> None:
    page = html()
    ids = re.findall(r"\sid=\"([^\"]+)\"", page)
    assert len(ids) == len(set(ids))
    names = re.findall(r"data-testid=\"([^\"]+)\"", page)
    assert len(names) == len(set(names))
    for control in re.findall(r"<(?:button|select|input)\b[^>]*>", page):
        hidden = 'type="hidden"' in control or "data-close" in control
        assert hidden or "data-testid=" in control, control


def test_the_scripts_make_no_html_and_import_only_each_other() -> None:
    for script in SCRIPTS:
        text = script.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), script
        for address in re.findall(r"^(?:import|\}).* from \"([^\"]+)\";$", text, re.MULTILINE):
            assert (script.parent / address).resolve().is_file(), f"{script.name}: {address}"
    ids = set(re.findall(r"byId\(\"([\w-]+)\"\)", "".join(script.read_text() for script in SCRIPTS)))
    there = set(re.findall(r"\sid=\"([^\"]+)\"", "".join(path.read_text() for path in TEMPLATES)))
    assert ids <= there, ids - there


def test_vendored_files_are_what_was_published() -> None:
    folder = STATIC / "vendor"
    sums = dict(line.split()[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums.keys() == {path.name for path in folder.iterdir()} - {"SHA256SUMS", "README.md"}
    for name, expected in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected, name
    assert any(name.endswith("LICENSE") for name in sums)


def test_the_chart_library_is_credited_as_its_notice_asks(desk: Desk) -> None:
    page = html()
    assert 'href="https://www.tradingview.com/"' in page
    notice = (STATIC / "vendor" / "lightweight-charts.NOTICE").read_text()
    assert "© 2025 TradingView, Inc." in page
    assert "2025 TradingView, Inc." in notice


# Languages


Message = str | tuple[str, int]


def entries(path: Path) -> dict[Message, str]:
    """Message → text of a .po file, as .mo files have them: a message with a context is context, EOT, message; one
    with a plural has a text for each number."""
    found: dict[Message, str] = {}
    for block in path.read_text().split("\n\n"):
        parts = re.findall(
            r"^(msgctxt|msgid|msgstr(?:\[\d\])?) ((?:\"(?:[^\"\\]|\\.)*\"\n?)+)", block, re.MULTILINE
        )
        text = {name: "".join(json.loads(line) for line in quoted.splitlines()) for name, quoted in parts}
        if not text.get("msgid"):
            continue
        message = "\4".join(filter(None, [text.get("msgctxt"), text["msgid"]]))
        for name, translated in text.items():
            if name == "msgstr":
                found[message] = translated
            elif name.startswith("msgstr"):
                found[message, int(name[7])] = translated
    return found


def plain(message: Message) -> str:
    return message if isinstance(message, str) else message[0]


@pytest.mark.parametrize("domain", ["django", "djangojs"])
def test_turkish_is_complete_and_compiled(domain: str) -> None:
    source = TURKISH / f"{domain}.po"
    assert "fuzzy" not in source.read_text()
    texts = entries(source)
    assert [message for message, text in texts.items() if not text] == []
    for message, text in texts.items():
        for hole in (r"\{\w+\}", r"%\(\w+\)s"):
            assert sorted(re.findall(hole, plain(message))) == sorted(re.findall(hole, text)), message
    compiled = gettext.GNUTranslations(BytesIO((TURKISH / f"{domain}.mo").read_bytes()))
    assert {message: text for message, text in compiled._catalog.items() if message} == texts  # type: ignore[attr-defined]


def test_every_text_of_the_templates_is_in_turkish() -> None:
    used = set()
    for path in TEMPLATES:
        source = templatize(path.read_text(), origin=Origin(str(path)).name)
        used |= {
            text.strip() for text in re.findall(r"gettext\((?:u?'[^']*', )?u?'((?:[^'\\]|\\.)*)'", source)
        }
        used |= {text.strip() for text in re.findall(r" _\(u?'((?:[^'\\]|\\.)*)'", source)}
    known = {plain(message).rpartition("\4")[2] for message in entries(TURKISH / "django.po")}
    assert used
    assert used <= known, used - known


def test_every_text_of_the_scripts_is_in_turkish() -> None:
    source = "".join(path.read_text() for path in SCRIPTS)
    used = {json.loads(text) for text in re.findall(r"\bgettext\(\s*(\"(?:[^\"\\]|\\.)*\")", source)}
    assert len(re.findall(r"\bgettext\(", source)) == 1 + len(re.findall(r"\bgettext\(\s*\"", source)), (
        "only plain texts can be collected"
    )
    known = entries(TURKISH / "djangojs.po").keys()
    assert used == known, used ^ known


def test_the_language_is_the_browsers_or_the_chosen_one(desk: Desk) -> None:
    english, turkish = html(accept_language="de, en"), html(accept_language="tr-TR, en;q=0.5")
    assert '<html lang="en"' in english
    assert embedded(english, "messages") == {}
    assert '<html lang="tr"' in turkish
    assert embedded(turkish, "messages")["Buy"] == "Al"
    assert ">Emir ver<" in turkish
    client = Client()
    response = client.post("/language", {"language": "tr", "next": PAGE})
    assert response["Location"] == PAGE
    assert client.cookies["django_language"]["samesite"] == "Lax"
    assert '<html lang="tr"' in client.get(PAGE).content.decode()


# The look


def test_the_look_is_that_of_the_hosts_institution(bank: Institution) -> None:
    page = html(host="trade.localhost")
    assert "<title>BTC/USDT · Bank Markets</title>" in page
    assert re.search(r"/brand/branded\.css\?v=\w+", page)
    logo = re.search(r"<img src=\"(/brand/branded/logo\?v=\w+)\"", page)
    assert logo
    response = Client().get(logo[1])
    assert (response.content, response["Content-Type"]) == (LOGO, "image/png")
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response["X-Content-Type-Options"] == "nosniff"


def test_other_hosts_get_the_products_own_look(bank: Institution) -> None:
    page = html()
    assert f"· {branding.PRODUCT}</title>" in page
    assert "/brand/-.css" in page
    assert branding.ACCENT in Client().get("/brand/-.css").content.decode()


def test_colours_come_as_a_stylesheet_with_readable_ink(bank: Institution) -> None:
    response = Client().get("/brand/branded.css")
    assert response["Content-Type"] == "text/css"
    sheet = response.content.decode()
    assert "--brand-accent:#7B3FE4;--on-accent:#ffffff;" in sheet
    assert "--brand-buy:#ffd166;--on-buy:#000000;" in sheet
    for missing in ("/brand/nobody.css", "/brand/nobody/logo", "/brand/-/logo"):
        assert Client().get(missing).status_code == 404


def test_a_changed_look_gets_another_address(bank: Institution) -> None:
    before = branding.of_host("trade.localhost")
    Brand.objects.filter(institution=bank).update(accent="#000000")
    after = branding.of_host("TRADE.localhost")
    assert before.version != after.version


@pytest.mark.parametrize("text", ["red", "#12345", "#1234567", "#12345g", "#fff", "#123456;}body{x:y"])
def test_a_colour_is_a_colour_and_nothing_else(text: str) -> None:
    with pytest.raises(ValidationError):
        branding_rules.check_colour(text)


@pytest.mark.parametrize(
    "host", ["", "Bank.example", "bank.example:80", "a..b", "-a.example", "a b", "a" * 254]
)
def test_a_host_is_a_plain_name(host: str) -> None:
    with pytest.raises(ValidationError):
        branding_rules.check_host(host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "trade.bank-2.example"])
def test_hosts_that_are_fine(host: str) -> None:
    branding_rules.check_host(host)


def webp(kind: bytes, rest: bytes) -> bytes:
    return b"RIFF\x00\x00\x00\x00WEBP" + kind + b"\x00\x00\x00\x00" + rest


FINE = [
    LOGO,
    webp(b"VP8X", b"\x00" * 4 + (255).to_bytes(3, "little") + (127).to_bytes(3, "little")),
    webp(b"VP8L", b"\x2f" + (255 | 127 << 14).to_bytes(4, "little") + b"\x00" * 8),
    webp(b"VP8 ", b"\x00" * 6 + (256).to_bytes(2, "little") + (128).to_bytes(2, "little")),
]
WRONG = {
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "html": b"<html><script>alert(1)</script></html>",
    "cut": LOGO[:20],
    "wide": LOGO[:16] + (5000).to_bytes(4, "big") + LOGO[20:],
    "large": LOGO + bytes(branding_rules.MOST_BYTES),
    "other riff": b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(30),
    "empty": b"",
}


@pytest.mark.parametrize("data", FINE)
def test_png_and_webp_are_pictures(data: bytes) -> None:
    branding_rules.check_logo(data)


@pytest.mark.parametrize("name", WRONG)
def test_anything_else_is_no_logo(name: str) -> None:
    with pytest.raises(ValidationError):
        branding_rules.check_logo(WRONG[name])


def uploaded(file: UploadedFile) -> MultiValueDict[str, UploadedFile]:
    return MultiValueDict({"upload": [file]})


def test_the_admin_shows_the_look_and_the_hosts(bank: Institution) -> None:
    client = signed_in(staff())
    page = client.get(f"/admin/members/institution/{bank.pk}/change/").content.decode()
    for name in ("brand-0-accent", "brand-0-upload", "hosts-0-host"):
        assert f'name="{name}"' in page


def test_an_operator_sets_and_removes_a_logo(bank: Institution) -> None:
    fields = {"name": "New", "accent": "#112233", "buy": "", "sell": ""}
    brand = Brand.objects.get(institution=bank)
    bad = BrandForm(fields, uploaded(SimpleUploadedFile("x.png", WRONG["svg"], "image/png")), instance=brand)
    assert "upload" in bad.errors
    removed = BrandForm(fields | {"remove": "on"}, instance=brand)
    assert removed.is_valid()
    removed.save()
    assert bytes(Brand.objects.get(institution=bank).logo) == b""
    put = BrandForm(fields, uploaded(SimpleUploadedFile("x.png", LOGO, "image/png")), instance=brand)
    assert put.is_valid(), put.errors
    put.save()
    assert bytes(Brand.objects.get(institution=bank).logo) == LOGO


# The session


@pytest.fixture
def trader(bank: Institution) -> User:
    return User.objects.create_user("trader@bank.example", PASSWORD, institution=bank)


class Browser:
    """Talks to the session's address as the page's scripts do."""

    def __init__(self) -> None:
        self.client = Client(enforce_csrf_checks=True)
        self.token = embedded(self.client.get(PAGE).content.decode(), "config")["csrf"]

    def ask(self, method: str, body: Any = None, *, token: str | None = None) -> Any:
        headers = {"X-CSRFToken": self.token if token is None else token}
        return self.client.generic(
            method, "/trade/session", json.dumps(body or {}), "application/json", headers=headers
        )

    def sign_in(self, password: str = PASSWORD) -> Any:
        return self.ask("POST", {"email": "trader@bank.example", "password": password})


def test_signing_in_keeps_the_refresh_token_from_scripts(trader: User) -> None:
    browser = Browser()
    response = browser.sign_in()
    assert response.status_code == 200, response.content
    given = response.json()
    assert given.keys() == {"access", "expires_in", "email", "may_trade", "fees"}
    assert given["may_trade"] is True
    assert given["fees"]["BTC/USDT"] == {"maker": "0", "taker": "0"}
    cookie = browser.client.cookies[session.COOKIE]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"]) == ("Strict", "/trade/session")
    assert cookie.value not in response.content.decode()
    again = browser.ask("PUT")
    assert again.json()["email"] == trader.email
    assert again["Cache-Control"] == "no-store"


def test_signing_out_ends_it(trader: User) -> None:
    browser = Browser()
    assert browser.ask("PUT").status_code == 204  # nobody is signed in, which is no error
    browser.sign_in()
    assert browser.ask("DELETE").status_code == 204
    assert browser.ask("PUT").status_code == 204


def test_a_wrong_password_and_an_inactive_user_are_refused(trader: User) -> None:
    browser = Browser()
    wrong = browser.sign_in("wrong")
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")
    browser.sign_in()
    User.objects.update(is_active=False)
    assert browser.ask("PUT").status_code == 204
    assert browser.client.cookies[session.COOKIE].value == ""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_sites_cannot_use_the_session(trader: User, method: str) -> None:
    browser = Browser()
    browser.sign_in()
    assert browser.ask(method, token="").status_code == 403


def test_the_session_does_not_open_the_api(trader: User) -> None:
    browser = Browser()
    browser.sign_in()
    assert browser.client.get("/api/v1/balances").status_code == 401
