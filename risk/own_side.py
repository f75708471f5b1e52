"""An alert as the staff of one institution may see it, where others' users have a part in what was found.

What tells of others alone is left out, and counted; where both are in a row, as in a trade, theirs reads `OTHERS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from django.utils.translation import gettext as _

from exchange.members.models import User
from risk.evidence import LEFT_OUT
from risk.models import Alert

OTHERS = "another institution's"

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def of(alert: Alert, institution: UUID) -> Alert:
    """The same object, changed in memory alone: nobody saves it."""
    named = ids(alert)
    users = dict(User.objects.filter(pk__in=named).values_list("pk", "institution_id"))
    own = {str(user) for user, of in users.items() if of == institution}
    others = {str(user) for user in users} - own
    if others:
        alert.evidence = _evidence(alert.evidence, own, others)
        alert.detail = _hidden(alert.detail, others)
        alert.picture = ""  # it draws them all
    return alert


def ids(alert: Alert) -> set[str]:
    """All that the alert names by an id: users, orders and trades alike."""
    return set(_UUID.findall(_text([alert.evidence, alert.detail])))


def named(value: Any, names: Mapping[str, str]) -> Any:
    """The value with those ids' names in their place."""
    text = _UUID.sub(lambda found: names.get(found[0], found[0]), _text(value))
    return msgspec.json.decode(text)


def _evidence(evidence: dict[str, Any], own: set[str], others: set[str]) -> dict[str, Any]:
    left_out = dict(evidence.get(LEFT_OUT, {}))
    shown: dict[str, Any] = {}
    for name, rows in evidence.items():
        if name == LEFT_OUT:
            continue
        shown[name] = [_hidden(row, others) for row in rows if own & set(_UUID.findall(_text(row)))]
        if missing := len(rows) - len(shown[name]):
            left_out[name] = left_out.get(name, 0) + missing
    return shown | ({LEFT_OUT: left_out} if left_out else {})


def _hidden(value: Any, others: set[str]) -> Any:
    return named(value, dict.fromkeys(others, _(OTHERS)))


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
