"""What is changed in the admin is recorded with its old and new values: a mixin for every ModelAdmin.

It imports no model admin of ours, so that `members.tenancy` can build on it. The admin's page of the records is
`exchange.backoffice.pages.audit_records`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from exchange.platform.audit import row_values
from exchange.platform.audit.log import record

MOST_IDS = 200  # of the selected rows that an action's record names
_OLD = "_audit_old"  # on the request: what a row was before it is saved, by its key


class AuditedAdmin:
    """Every addition, change, deletion and action leaves a record in the institution that it concerns.

    Goes before ModelAdmin. `audit_secret` names further fields whose values are not to be written down.
    """

    audit_secret: ClassVar[tuple[str, ...]] = ()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            before = type(obj)._base_manager.filter(pk=obj.pk).first()
            _noted(request)[_key(obj)] = row_values.of(before, secret=self.audit_secret) if before else {}
        super().save_model(request, obj, form, change)  # type: ignore[misc]

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)  # type: ignore[misc]
        _noted(request)[_key(form.instance), "inlines"] = row_values.of_formset(formset)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._record(request, "admin.add", obj, {}, row_values.of(obj, secret=self.audit_secret))
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        old = _noted(request).pop(_key(obj), {})
        new = row_values.of(obj, secret=self.audit_secret) if old else {}
        old, new = row_values.difference(old, new)
        if not old and not new and message:
            new = {"message": message}
        self._record(request, "admin.change", obj, old, new)
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        for obj in queryset:
            self._record(request, "admin.delete", obj, row_values.of(obj, secret=self.audit_secret), {})
        return super().log_deletions(request, queryset)  # type: ignore[misc]

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        """Recorded before it runs: who asked for what. What came of it is recorded by what it calls."""
        name = request.POST.get("action", "")
        chosen = request.POST.getlist("_selected_action")
        everything = request.POST.get("select_across") == "1"
        if name and (chosen or everything):
            asked = {"action": name, "selected": "all" if everything else chosen[:MOST_IDS]}
            with transaction.atomic():
                record(
                    action="admin.action",
                    resource=self.model._meta.label_lower,  # type: ignore[attr-defined]
                    institution=_own(request),
                    new={**asked, "count": len(chosen)},
                )
        return super().response_action(request, queryset)  # type: ignore[misc]

    def _record(
        self, request: HttpRequest, action: str, obj: Model, old: dict[str, Any], new: dict[str, Any]
    ) -> None:
        inlines = _noted(request).pop((_key(obj), "inlines"), None)
        if inlines:
            new = {**new, "inlines": inlines}
        with transaction.atomic():
            record(
                action=action,
                resource=f"{obj._meta.model_name}/{obj.pk}",
                institution=row_values.institution(obj, self) or _own(request),
                old=old,
                new=new,
            )


def _noted(request: HttpRequest) -> dict[Any, Any]:
    noted: dict[Any, Any] | None = getattr(request, _OLD, None)
    if noted is None:
        noted = {}
        setattr(request, _OLD, noted)
    return noted


def _key(obj: Model) -> tuple[str, Any]:
    return obj._meta.label_lower, obj.pk


def _own(request: HttpRequest) -> str:
    """The institution of who asks; empty for the platform's staff."""
    return str(getattr(request.user, "institution_id", None) or "")
