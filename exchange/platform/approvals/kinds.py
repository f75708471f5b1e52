"""The kinds of things that take a second person.

Each belongs to the app that carries it out. `APPROVAL_KINDS` in the settings says where, so that nothing here imports
what stands above it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils.functional import Promise
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from exchange.platform.approvals.models import Approval

Payload = dict[str, Any]
FieldChange = tuple[str, str, str]  # what, old value, new value


def _nothing(payload: Payload) -> list[FieldChange]:
    return []


@dataclass(frozen=True, slots=True)
class ApprovalKind:
    """`check` raises `Refused` for what could not be carried out, when it is asked for and once more when it is
    approved; `apply` carries it out in the transaction of the approval and says in a few words what came of it;
    `describe` gives (name, text) pairs for people and `changes` what would be other than it is now."""

    code: str
    label: str | Promise
    request_permission: str
    approve_permission: str
    check: Callable[[Payload], None]
    apply: Callable[[Approval], str]
    describe: Callable[[Payload], list[tuple[str, str]]]
    changes: Callable[[Payload], list[FieldChange]] = _nothing
    form: str = ""  # dotted path of an `exchange.platform.approvals.forms.AskForm`, where a page asks for it


def kind(code: str) -> ApprovalKind:
    """Raises KeyError for one that there is not."""
    found: ApprovalKind = import_string(settings.APPROVAL_KINDS[code])
    return found


def kinds() -> list[ApprovalKind]:
    return [kind(code) for code in settings.APPROVAL_KINDS]
