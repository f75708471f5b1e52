"""A row's values as an audit record keeps them: readable, without secrets, and without what a person may have erased.

Personal data stands as a keyed digest: that it changed, and whether it is the same again, can be seen; what it was is
not in the log, so erasing a user needs no change to it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from django.db.models import Field, Model

from exchange.base.env import env
from exchange.base.times import rfc3339

SECRET = "(not recorded)"  # noqa: S105 - what stands in place of one
SECRETS = ("password", "secret", "private", "token", "key_hash", "digest")
PERSONAL = (
    "email",
    "phone",
    "first_name",
    "last_name",
    "full_name",
    "birth",
    "identity",
    "national_id",
    "iban",
)
LONGEST = 2000  # characters of one value


def of(row: Model, *, secret: Collection[str] = ()) -> dict[str, Any]:
    """By field, in the order of their names."""
    named = {field.attname: field for field in row._meta.concrete_fields}
    return {name: _value(named[name], getattr(row, name), secret) for name in sorted(named)}


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both without what is the same. A secret that stands in both may have changed: it is left out."""
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return (
        {name: old[name] for name in changed if name in old},
        {name: new[name] for name in changed if name in new},
    )


def of_formset(formset: Any) -> dict[str, Any]:
    """What a formset added, changed and deleted, if anything; one that was not saved has done nothing."""
    if not hasattr(formset, "new_objects"):
        return {}
    name = formset.model._meta.model_name
    rows_of = {
        "added": [of(row) for row in formset.new_objects],
        "changed": [_changed(formset, row, fields) for row, fields in formset.changed_objects],
        "deleted": [{"pk": str(row.pk)} | of(row) for row in formset.deleted_objects],
    }
    return {name: {what: rows for what, rows in rows_of.items() if rows}} if any(rows_of.values()) else {}


def institution(row: Model, admin: Any) -> str:
    """The id of the institution that the row belongs to, by the admin's `tenant` paths; empty if to none."""
    paths = getattr(admin, "tenant", None) or ("institution", "user__institution")
    for path in (paths,) if isinstance(paths, str) else paths:
        found: Any = row
        for part in path.split("__"):
            found = getattr(found, part, None)
        key = getattr(found, "pk", found)
        if key:
            return str(key)
    return ""


def personal(value: str) -> str:
    """A digest that cannot be looked up without the installation's key."""
    digest = hmac.new(env.secret_key.encode(), f"audit\n{value}".encode(), hashlib.sha256)
    return f"personal:{digest.hexdigest()[:20]}"


def _changed(formset: Any, row: Model, fields: Collection[str]) -> dict[str, Any]:
    form = next(form for form in formset.forms if form.instance is row)
    named = {field.name: field for field in row._meta.concrete_fields}
    before = {name: _value(named[name], form.initial.get(name), ()) for name in fields if name in named}
    after = {
        name: _value(named[name], getattr(row, named[name].attname), ()) for name in fields if name in named
    }
    return {"pk": str(row.pk), "old": before, "new": after}


def _value(field: Field[Any, Any], value: Any, secret: Collection[str]) -> Any:
    name = field.name.lower()
    if value is None or value == "":
        return None
    if name in secret or any(word in name for word in SECRETS):
        return SECRET
    if any(word in name for word in PERSONAL) or "encrypted" in type(field).__name__.lower():
        return personal(str(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return f"sha256:{hashlib.sha256(value).hexdigest()}"
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return rfc3339(value, "auto")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return str(value)[:LONGEST]
