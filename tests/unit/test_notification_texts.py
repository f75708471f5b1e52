"""The words of notifications: there are some for every kind, channel and language, and an operator's own are
tried out before they are believed."""

from __future__ import annotations

from itertools import product

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError

from exchange.platform.members.devices import browser_id, family
from exchange.platform.notifications import handlers, texts
from exchange.platform.notifications.kinds import (
    DEFAULTS,
    OUTWARD,
    SECURITY,
    Channel,
    NotificationKind,
    is_fixed,
)
from exchange.platform.notifications.models import TextTemplate

LANGUAGES = [code for code, _ in settings.LANGUAGES]
ALL = list(product([*NotificationKind, texts.DIGEST], OUTWARD, LANGUAGES))


def own(
    body: str, *, kind: str = NotificationKind.DEPOSIT, channel: str = Channel.EMAIL, subject: str = "S"
) -> TextTemplate:
    return TextTemplate(kind=kind, channel=channel, language="en", subject=subject, body=body)


@pytest.mark.parametrize(("kind", "channel", "language"), ALL)
def test_the_files_name_only_what_there_is(kind: str, channel: Channel, language: str) -> None:
    """Checked as an operator's own would be."""
    text = (texts.FOLDER / language / f"{kind.lower()}.{channel.lower()}.txt").read_text()
    subject, _, body = text.partition("\n") if channel == Channel.EMAIL else ("", "", text)
    texts.check(TextTemplate(kind=kind, channel=channel, language=language, subject=subject, body=body))


def test_no_two_kinds_or_languages_share_their_words() -> None:
    words = [
        texts._from_file(kind, channel, language, texts.example(kind, language))
        for kind, channel, language in ALL
    ]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize(
    ("language", "subject", "line"),
    [
        ("en", "Bought 0.5 BTC: your order is filled", "Time: 22 November 2026 20:15:00 UTC"),
        ("tr", "0.5 BTC alındı: emriniz gerçekleşti", "Zaman: 22 Kasım 2026 20:15:00 UTC"),
    ],
)
def test_an_email_is_in_the_language(language: str, subject: str, line: str) -> None:
    values = texts.example(NotificationKind.ORDER_FILLED, language)
    words = texts._from_file(NotificationKind.ORDER_FILLED, Channel.EMAIL, language, values)
    assert words.subject == subject
    assert line in words.body.splitlines()


def test_a_reason_is_told_in_words() -> None:
    said = {
        language: texts._from_file(
            NotificationKind.ORDER_REJECTED,
            Channel.SMS,
            language,
            texts.example(NotificationKind.ORDER_REJECTED, language),
        ).body
        for language in LANGUAGES
    }
    assert said["en"].endswith("rejected: it could not be filled in full at once.")
    assert said["tr"].endswith("reddedildi: hemen tamamı gerçekleştirilemedi.")


def test_an_order_without_a_price_is_told_without_one() -> None:
    values = texts.example(NotificationKind.ORDER_FILLED, "en") | {"price": ""}
    body = texts._from_file(NotificationKind.ORDER_FILLED, Channel.EMAIL, "en", values).body
    assert body.startswith("Your order to buy 0.5 BTC was filled in full.")


def test_what_was_put_into_a_subject_cannot_begin_another_header() -> None:
    values = texts.example(NotificationKind.DEPOSIT, "en") | {"asset": "USDT\r\nBcc: all@bank.example"}
    words = texts._from_file(NotificationKind.DEPOSIT, Channel.EMAIL, "en", values)
    assert words.subject == "2500 USDT Bcc: all@bank.example arrived"


def test_an_operators_own_words_are_taken() -> None:
    words = texts.check(
        own("{{ amount }} {{ asset|lower }}{% if brand %} at {{ brand }}{% endif %}", subject="Hi")
    )
    assert words == ("Hi", "2500 usdt at Demo")


@pytest.mark.parametrize(
    ("template", "field", "why"),
    [
        (own("{{ email }}"), "body", "names what there is not; there is amount, asset, brand"),
        (own("{% if amount %}"), "body", "Unclosed tag"),
        (own('{% include "x" %}'), "body", "only variables and if, not 'include'"),
        (own("{% for x in amount %}{% endfor %}"), "body", "only variables and if, not 'for'"),
        (own("{% load i18n %}"), "body", "not a registered tag library"),
        (own("{% if amount %}{% now 'Y' %}{% endif %}"), "body", "only variables and if, not 'now'"),
        (own("{{ amount|nothing }}"), "body", "Invalid filter"),
        (own("x", subject=" "), "subject", "needs a subject"),
        (own("x", subject="{{ body }}"), "subject", "names what there is not"),
        (own("x", channel=Channel.SMS), "subject", "has no subject"),
    ],
)
def test_words_that_would_fail_are_refused(template: TextTemplate, field: str, why: str) -> None:
    with pytest.raises(ValidationError) as raised:
        texts.check(template)
    assert why in raised.value.message_dict[field][0]


def test_security_comes_by_email_whatever_is_chosen() -> None:
    assert {
        (kind, channel) for kind in NotificationKind for channel in Channel if is_fixed(kind, channel)
    } == {(kind, Channel.EMAIL) for kind in SECURITY}
    assert all(Channel.EMAIL in DEFAULTS[kind] for kind in SECURITY)
    assert set(DEFAULTS) == set(NotificationKind)


@pytest.mark.parametrize(
    ("written", "plain"), [("0.50000", "0.5"), ("100", "100"), ("100.00", "100"), ("0.00001000", "0.00001")]
)
def test_amounts_are_told_without_zeros(written: str, plain: str) -> None:
    assert handlers.plain(written) == plain


CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36"
)


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (CHROME.format(130), "Chrome on Linux"),
        (CHROME.format(131), "Chrome on Linux"),
        (CHROME.format(131) + " Edg/131.0", "Edge on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0; rv:133.0) Gecko/20100101 Firefox/133.0", "Firefox on Windows"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Safari/604.1",
            "Safari on iPhone",
        ),
        ("python-httpx/0.28.1", "python-httpx"),
        ("curl/8.5.0", "curl"),
        ("<script>/1", "script"),
        ("", "unknown program"),
        ("x" * 500, "x" * 60),
    ],
)
def test_a_device_is_named_without_versions(user_agent: str, name: str) -> None:
    assert family(user_agent) == name


def test_a_browser_keeps_an_id_of_ours_and_no_other() -> None:
    given = browser_id(None)
    assert browser_id(given) == given
    assert browser_id("short") != "short"
    assert browser_id("x" * 20 + "\n") != "x" * 20 + "\n"
