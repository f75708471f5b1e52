"""Terms that take effect at a time of their own: as JSON keeps them, and as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as text

from exchange.platform.approvals.kinds import FieldChange, Payload
from exchange.platform.approvals.requests import Refused


def moment(payload: Payload) -> datetime:
    """When the approved terms take effect: at their time, but never in the past."""
    now, asked = timezone.now(), payload["effective_from"]
    return max(now, datetime.fromisoformat(asked)) if asked else now


def as_json(value: Any) -> Any:
    """A field's value for a payload: exact, and the same wherever it is read."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def when(payload: Payload) -> str:
    asked = payload["effective_from"]
    return (
        f"{datetime.fromisoformat(asked):%Y-%m-%d %H:%M} UTC" if asked else text("as soon as it is approved")
    )


def difference(names: Mapping[str, Any], old: Any, new: Any) -> list[FieldChange]:
    """Of the fields `names` (name → label) those that differ between two rows; `old` may be None."""
    found = []
    for name, label in names.items():
        before, after = _shown(getattr(old, name, None)), _shown(getattr(new, name))
        if before != after:
            found.append((str(label), before, after))
    return found


def checked(row: Any) -> Any:
    """A row that could be saved. Raises Refused, saying what is wrong with it."""
    try:
        row.full_clean(exclude=["approval"])
    except ValidationError as error:
        raise Refused(" ".join(error.messages)) from error
    return row


def _shown(value: Any) -> str:
    return "–" if value is None else str(as_json(value))
