"""Terms kept as versions with a time from which they hold, each approved by a second person (docs/decisions/015).

Of each scope (of an institution and a market, say) the latest version whose time has come holds; one without values
ends what was before. A file for each kind of terms names its model, scope and fields, and reads a payload.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet
from django.db.models.functions import Now
from django.utils.functional import Promise
from django.utils.translation import gettext as text

from exchange.platform.approvals import effective_dates
from exchange.platform.approvals.kinds import ApprovalKind, FieldChange, Payload
from exchange.platform.approvals.models import Approval

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class VersionedTerms(Generic[M]):
    """`read` makes a version, not saved, of a payload and raises Refused if what it names is gone; `subject` says for
    people which scope it is of, as (name, text) pairs. `permission` stands before `.request` and `.approve`."""

    code: str
    label: str | Promise
    permission: str
    model: type[M]
    scope: Sequence[str]
    fields: Mapping[str, str | Promise]
    read: Callable[[Payload], M]
    subject: Callable[[M], list[tuple[str, str]]]

    def in_force(self) -> QuerySet[M]:
        """The version of each scope that holds now, by the database's clock."""
        return (
            self.model._default_manager.filter(effective_from__lte=Now())
            .order_by(*self.scope, "-effective_from", "-pk")
            .distinct(*self.scope)
        )

    def payload(self, scope: Payload, values: Mapping[str, Any], effective_from: datetime | None) -> Payload:
        """What is asked for; a field that `values` lacks has none."""
        return {
            **scope,
            "effective_from": effective_dates.as_json(effective_from),
            **{name: effective_dates.as_json(values.get(name)) for name in self.fields},
        }

    def check(self, payload: Payload) -> None:
        """Raises Refused."""
        effective_dates.checked(self.read(payload))

    def apply(self, approval: Approval) -> str:
        version: Any = self.read(approval.payload)
        version.approval = approval
        version.save()
        return f"{version._meta.model_name}/{version.pk}"

    def describe(self, payload: Payload) -> list[tuple[str, str]]:
        return [*self.subject(self.read(payload)), (text("in force from"), effective_dates.when(payload))]

    def changes(self, payload: Payload) -> list[FieldChange]:
        version = self.read(payload)
        now = self.in_force().filter(**{name: getattr(version, name) for name in self.scope}).first()
        return effective_dates.difference(self.fields, now, version)

    def kind(self) -> ApprovalKind:
        return ApprovalKind(
            code=self.code,
            label=self.label,
            request_permission=f"{self.permission}.request",
            approve_permission=f"{self.permission}.approve",
            check=self.check,
            apply=self.apply,
            describe=self.describe,
            changes=self.changes,
        )
