"""The back office in Turkish: what its pages call models, fields, choices, columns, filters and actions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import flatten, label_for_field
from django.test import RequestFactory
from django.urls import reverse
from django.utils import translation

from exchange.members import labels
from risk.models import SurveillanceRule
from risk.surveillance.thresholds import KINDS
from risk.surveillance_admin import _thresholds
from tests.integration.test_terminal import TURKISH, entries
from tests.staff import signed_in, staff

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
        if text and not text.isupper() and told["tr"][where] == text != known.get(text)  # codes are the same
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
