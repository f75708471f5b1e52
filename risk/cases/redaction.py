"""Who is named in what was found, and to whom.

An alert as the staff of one institution may see it, where others' users have a part in it: what is about others alone
is left out, and counted; where both are in a row, as in a trade, theirs reads `OTHERS`. And names in place of ids, in
rows and in pictures.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import Any
from uuid import UUID

import msgspec
from django.utils.translation import gettext as _

from exchange.platform.members.models import User
from risk.cases.evidence import LEFT_OUT
from risk.models import Alert

OTHERS = "another institution's"

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHORT = re.compile("…[0-9a-f]{6}")


def redact(alert: Alert, institution: UUID) -> Alert:
    """The same object, changed in memory alone: it is not saved."""
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


def replace_ids(value: Any, names: Mapping[str, str]) -> Any:
    """The value with those ids' names in their place."""
    text = _UUID.sub(lambda found: names.get(found[0], found[0]), _text(value))
    return msgspec.json.decode(text)


def short(user: str) -> str:
    """A user as a picture names it: our ids end in two zeros."""
    digits = user.replace("-", "").removesuffix("00")
    return f"…{digits[-6:]}" if len(digits) > 8 else user


def replace_short_ids(svg: str, names: Mapping[str, str]) -> str:
    """A kept picture with users' names (by their UUIDs) in place of their short ids; of e-mails only what stands before
    the @, if no other user has the same."""
    brief = {user: name.partition("@")[0] for user, name in names.items()}
    alike = Counter(brief.values())
    shown = {short(user): brief[user] if alike[brief[user]] == 1 else name for user, name in names.items()}
    svg = _SHORT.sub(lambda found: escape(shown.get(found[0], found[0])), svg)
    for user, name in names.items():
        svg = svg.replace(f"<title>{user}</title>", f"<title>{escape(name)}</title>")
    return svg


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
    return replace_ids(value, dict.fromkeys(others, _(OTHERS)))


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
