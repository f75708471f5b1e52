"""What an export of a list holds: the fields that the list's pages show, and no others.

Values are told exactly: decimals as text, times in UTC, related rows by the name that people know them by. Text that a
spreadsheet would take for a formula gets an apostrophe in front (CWE-1236); an import takes it off again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.contrib.admin.utils import flatten
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import BinaryField, Field, ForeignKey, Model
from django.http import HttpRequest
from import_export import resources

from exchange.base import decimals
from exchange.base.times import rfc3339

FORMULA = ("=", "+", "-", "@", "\t", "\r")
SECRET = ("password", "secret", "token", "digest", "fingerprint", "private", "sealed")
NAMES = {  # the field that people know a related row by
    "members.user": "email",
    "members.institution": "code",
    "trading.asset": "code",
    "trading.instrument": "symbol",
}

Cell = str | int


class Columns(resources.ModelResource):
    """The columns of one model's export: django-import-export keeps which there are, and in which order."""

    def heads(self) -> list[str]:
        return [str(name) for name in self.get_export_headers()]

    def related(self) -> list[str]:
        """What the rows should be read together with."""
        meta = self._meta.model._meta
        return [name for name in self._meta.fields if isinstance(meta.get_field(name), ForeignKey)]

    def row(self, record: Model) -> list[Cell]:
        meta = record._meta
        return [cell(_value(record, meta.get_field(name))) for name in self._meta.fields]


def columns(page: Any, request: HttpRequest) -> Columns:
    """Of the list that `page` (a ModelAdmin) shows to the user."""
    shown = {_name(page, each) for each in page.get_list_display(request)}
    shown |= {_name(page, each) for each in flatten(page.get_fields(request))}
    shown |= {
        _name(page, each) for each in flatten([part["fields"] for _, part in page.get_fieldsets(request)])
    }
    fields = [each.name for each in page.opts.concrete_fields if _exported(each, shown)]
    made = resources.modelresource_factory(
        page.model, resource_class=Columns, meta_options={"fields": fields, "export_order": fields}
    )
    return made()


def _name(page: Any, shown: Any) -> str:
    """A column's field. Columns made by a function say in `admin_order_field` which one they are of."""
    column = getattr(page, shown, shown) if isinstance(shown, str) else shown
    return str(getattr(column, "admin_order_field", None) or shown)


def _exported(field: Field[Any, Any], shown: Iterable[str]) -> bool:
    if isinstance(field, BinaryField) or any(word in field.name for word in SECRET):
        return False
    return field.primary_key or field.name in shown or field.attname in shown


def _value(record: Model, field: Any) -> Any:
    if not isinstance(field, ForeignKey):
        return field.value_from_object(record)
    key = getattr(record, field.attname)
    name = NAMES.get(field.remote_field.model._meta.label_lower)
    if key is None or name is None:
        return key
    try:
        return getattr(getattr(record, field.name), name)
    except ObjectDoesNotExist:
        return key


def cell(value: Any) -> Cell:
    """As it stands in a file. Numbers of money are text, so that no program makes floats of them."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            return value
        case Decimal():
            return decimals.plain(value)
        case datetime():
            return rfc3339(value)
        case date():
            return value.isoformat()
        case dict() | list():
            return safe(json.dumps(value, default=str, ensure_ascii=False))
        case _:
            return safe(str(value))


def safe(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def plain(text: str) -> str:
    """What `safe` was given."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text
