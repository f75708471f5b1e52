"""The back office in Turkish: what its pages call models, fields, choices, columns, filters and actions."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.utils import flatten, label_for_field
from django.template.base import Origin
from django.test import RequestFactory
from django.urls import reverse
from django.utils import translation
from django.utils.text import capfirst
from django.utils.translation import templatize
from pytest_django import DjangoDbBlocker

from exchange.platform.approvals.kinds import kinds
from exchange.platform.members import labels
from risk.backoffice.surveillance import _thresholds
from risk.detectors.registry import KINDS
from risk.models import SurveillanceRule
from tests.integration.test_terminal import TURKISH, entries, plain
from tests.market import lasting_desk
from tests.staff import signed_in, staff
from tests.tenants import Tenant, settle_in
from trading.models import Instrument

pytestmark = pytest.mark.django_db

PAGES = {model: page for model, page in admin.site._registry.items() if labels.ours(model)}


def texts(request: Any) -> Iterator[tuple[str, str]]:
    """Where a text stands, and the text."""
    inlines = {inline.model for page in PAGES.values() for inline in page.inlines}
    for model in {*PAGES, *inlines}:
        name, meta = model._meta.label, model._meta
        yield f"{name}: name", str(meta.verbose_name)
        yield f"{name}: names", str(meta.verbose_name_plural)
        for field in meta.concrete_fields:
            yield f"{name}.{field.name}: name", str(field.verbose_name)
            yield f"{name}.{field.name}: help", str(field.help_text)
            for value, label in field.flatchoices or ():
                yield f"{name}.{field.name}: {value}", str(label)
    for model, page in PAGES.items():
        name = model._meta.label
        for column in {*page.get_list_display(request), *flatten(page.get_fields(request))}:
            if isinstance(column, str) and (hasattr(page, column) or hasattr(model, column)):
                yield f"{name}: column {column}", str(label_for_field(column, model, page))
        for given in page.get_list_filter(request):
            if isinstance(given, type):
                shown: Any = given(request, {}, model, page)
                yield f"{name}: filter {given.__name__}", str(shown.title)
                for value, label in shown.lookup_choices:
                    yield f"{name}: filter {given.__name__} {value}", str(label)
        for action, described in page.get_action_choices(request, []):
            if action:
                yield f"{name}: action {action}", str(described)


def test_what_pages_call_things_is_in_turkish() -> None:
    known = entries(TURKISH / "django.po")
    request = RequestFactory().get("/")
    request.user = staff()
    told = {}
    for language in ("en", "tr"):
        with translation.override(language):
            told[language] = dict(texts(request))
    assert told["en"].keys() == told["tr"].keys() and len(told["en"]) > 500
    same = {
        where: text
        for where, text in told["en"].items()
        if text and told["tr"][where] == text != known.get(text)
    }
    assert not same, "\n".join(f"{where}: {text}" for where, text in same.items())


def test_thresholds_are_in_turkish() -> None:
    client = signed_in(staff())
    known = entries(TURKISH / "django.po")
    for kind in KINDS:
        rule = SurveillanceRule.objects.create(kind=kind)
        page = reverse("admin:risk_surveillancerule_change", args=[rule.pk])
        form = client.get(page, headers={"accept-language": "tr"}).context["adminform"].form
        shown = {name: str(field.label) for name, field in form.fields.items() if name in _thresholds(kind)}
        assert shown == {name: known[name.replace("_", " ")] for name in _thresholds(kind)}
        helps = [str(form.fields[name].help_text) for name in shown]
        assert all(
            "(bizimki:" in text and text.partition(" (bizimki:")[0] in known.values() for text in helps
        )


def test_a_list_and_a_form_are_in_turkish() -> None:
    client = signed_in(staff())
    turkish = {"accept-language": "tr"}
    listed = client.get(reverse("admin:members_user_changelist"), headers=turkish).content.decode()
    assert "Emir hızı" in listed and "Order rate" not in listed
    form = client.get(reverse("admin:risk_limit_add"), headers=turkish).content.decode()
    assert "En fazla açık emir" in form and "Max open orders" not in form


# Whole pages


@pytest.fixture(scope="module")
def tenants(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[tuple[Tenant, Tenant]]:
    with lasting_desk(django_db_blocker) as desk:
        yield settle_in(desk)


SAME = {"Risk", "English"}  # in both languages
WORDS = re.compile(r"\b(the|and|of|is|are|what|who|with|for|from|this|that|ask)\b", re.IGNORECASE)


def english(known: dict[Any, str]) -> set[str]:
    """What a page in Turkish may not say by itself: each text of the catalogue that reads otherwise there, as it stands
    and with a capital."""
    texts = {text for text, said in known.items() if isinstance(text, str) and text != said}
    texts = {text.rpartition("\4")[2] for text in texts}
    turkish = {shown for said in known.values() for shown in (said, capfirst(said))}
    return {shown for text in texts for shown in (text, capfirst(text))} - turkish - SAME


def shown_by(page: str) -> set[str]:
    """The texts between the tags of a page; icons are named in English, and not seen so."""
    page = re.sub(r"<(script|style|svg)\b.*?</\1>", "", page, flags=re.DOTALL)
    page = re.sub(r"<(\w+)[^>]*material-symbols-outlined[^>]*>[^<]*</\1>", "", page)
    found = (unescape(text).strip().rstrip("*:").strip() for text in re.findall(r">([^<]+)<", page))
    return {text for text in found if text}


def test_pages_say_nothing_in_english(tenants: tuple[Tenant, Tenant]) -> None:
    """Each list and the page of a row of each, beside the first page and what has a template of its own."""
    client = signed_in(staff())
    foreign = english(entries(TURKISH / "django.po"))
    addresses = [reverse("admin:index"), reverse("admin:sign_ins"), reverse("backoffice-search")]
    addresses += [reverse("admin:approvals_approval_ask", args=[each.code]) for each in kinds() if each.form]
    market, user = Instrument.objects.order_by("pk")[0], tenants[0].user
    for verb in ("halt", "cancel_only", "post_only", "resume", "cancel_orders", "move"):
        addresses.append(reverse(f"admin:trading_instrument_{verb}", args=[market.pk]))
    for verb in ("cancel_orders", "block_trading", "release_trading"):
        addresses.append(reverse(f"admin:members_user_{verb}", args=[user.pk]))
    for model in PAGES:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        addresses.append(reverse(f"{name}_changelist"))
        row = model._default_manager.order_by("-pk").first()
        addresses += [reverse(f"{name}_change", args=[row.pk])] if row else []
    said = {}
    for address in addresses:
        answer = client.get(address, headers={"accept-language": "tr"})
        assert answer.status_code == 200, address
        shown = shown_by(answer.content.decode())
        assert "Gösterge paneli" in shown, address
        dotless = {
            text for text in shown if re.match(r"I[a-zçğöşü]", text)
        }  # of a Turkish i, whose capital is İ
        wrong = shown & foreign | dotless | {text for text in shown if WORDS.search(text)}
        if wrong:
            said[address] = wrong
    assert len(addresses) > 60
    assert not said, "\n".join(f"{address}: {wrong}" for address, wrong in said.items())


def test_names_that_get_a_capital_get_a_turkish_one() -> None:
    """Django makes "iki" to "Iki": what it writes so begins with the capital already."""
    request = RequestFactory().get("/")
    request.user = staff()
    with translation.override("tr"):
        told = dict(texts(request))
    small = {where for where, text in told.items() if text.startswith("i") and ": help" not in where}
    assert not {where for where in small if re.search(r": (names?|column|filter \w+$)", where)}


def marked() -> Iterator[tuple[str, str]]:
    """Where a text is marked for translation, and the text, in our code and our templates."""
    for top in labels.OURS:
        for path in sorted((settings.BASE_DIR / top).rglob("*.py")):
            tree = ast.parse(path.read_text())
            names = {
                each.asname or each.name
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
                for each in node.names
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                    for argument in node.args[:1]:
                        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                            yield f"{path.name}:{node.lineno}", argument.value
    for path in sorted((settings.BASE_DIR / "templates").rglob("*.html")):
        source = templatize(path.read_text(), origin=Origin(str(path)).name)
        found = re.findall(r"\bn?p?gettext\((?:u?'[^']*', )?u?(['\"])((?:[^'\\]|\\.)*?)\1", source)
        yield from ((path.name, text.replace("\\'", "'").strip()) for _quote, text in found)


def test_every_marked_text_is_in_turkish() -> None:
    source = TURKISH / "django.po"
    known = {plain(message).rpartition("\4")[2] for message in entries(source)}
    known |= {
        json.loads(text) for text in re.findall(r"^msgid_plural (.*)$", source.read_text(), re.MULTILINE)
    }
    used = list(marked())
    assert len(used) > 500
    missing = {f"{where}: {text}" for where, text in used if text and text != "%s" and text not in known}
    assert not missing, "\n".join(sorted(missing))
