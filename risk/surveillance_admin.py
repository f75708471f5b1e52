"""Admin pages of surveillance: thresholds, and who belongs together. Every change is audited."""

from __future__ import annotations

from typing import Any

import msgspec
from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.shortcuts import redirect
from unfold.admin import ModelAdmin

from exchange.audit import log as audit
from exchange.ids import uuid7
from exchange.members.models import User
from exchange.members.tenancy import TenantAdmin
from risk.models import OwnerLink, SurveillanceRule
from risk.surveillance.records import Kind
from risk.surveillance.thresholds import KINDS, parse


class Audited(TenantAdmin, ModelAdmin):
    """Writes what a change was, in the transaction that makes it."""

    name = ""
    facts: tuple[str, ...] = ()

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        with transaction.atomic():
            old = self._facts(type(obj)._default_manager.filter(pk=obj.pk).first())
            super().save_model(request, obj, form, change)
            self._record(request, f"CHANGE_{self.name}", obj, old, self._facts(obj))

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        with transaction.atomic():
            self._record(request, f"DELETE_{self.name}", obj, self._facts(obj), {})
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with transaction.atomic():
            for obj in queryset:
                self.delete_model(request, obj)

    def institution(self, obj: Any) -> str:
        raise NotImplementedError

    def _facts(self, obj: Model | None) -> dict[str, Any]:
        if obj is None:
            return {}
        return {name: _plain(getattr(obj, name)) for name in self.facts}

    def _record(
        self, request: HttpRequest, action: str, obj: Model, old: dict[str, Any], new: dict[str, Any]
    ) -> None:
        assert isinstance(request.user, User)
        audit.record(
            action=action,
            resource=f"{self.name.lower()}/{obj.pk or ''}",
            actor=str(request.user.pk),
            institution=self.institution(obj),
            old=old,
            new=new,
            trace_id=uuid7(),
            role=request.user.role,
            address=request.META.get("REMOTE_ADDR", ""),
        )


class RuleForm(forms.ModelForm):
    """A new rule names its kind; then each of the kind's thresholds has a field. Empty is our own value."""

    class Meta:
        model = SurveillanceRule
        fields = ["institution", "kind", "enabled", "severity"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in _thresholds(self.instance.kind):
            if name in self.fields:
                self.fields[name].initial = self.instance.thresholds.get(name)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        given = {name: cleaned.get(name) for name in _thresholds(self.instance.kind)}
        values = {name: value for name, value in given.items() if value is not None}
        if self.instance.pk and not self.errors:
            try:
                parse(self.instance.kind, values)
            except ValueError as error:
                raise forms.ValidationError(str(error)) from None
            self.instance.thresholds = values
        return cleaned


@admin.register(SurveillanceRule)
class SurveillanceRuleAdmin(Audited):
    tenant = "institution"
    name = "SURVEILLANCE_RULE"
    facts = ("kind", "institution_id", "enabled", "severity", "thresholds")
    form = RuleForm
    list_display = ["kind", "institution", "enabled", "severity", "thresholds", "updated_at"]
    list_filter = ["kind", "institution"]
    list_select_related = ["institution"]
    ordering = ["kind", "institution__code"]

    def institution(self, obj: SurveillanceRule) -> str:
        return str(obj.institution_id or "")

    def get_form(
        self, request: HttpRequest, obj: SurveillanceRule | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is not None:
            fields: dict[str, Any] = {name: _field(field) for name, field in _thresholds(obj.kind).items()}
            kwargs["form"] = type("RuleForm", (RuleForm,), fields)
            kwargs["fields"] = (
                RuleForm.Meta.fields
            )  # what Django derives from fieldsets has names of no column
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: SurveillanceRule | None = None) -> Any:
        plain: list[Any] = [(None, {"fields": ["institution", "kind", "enabled", "severity"]})]
        if obj is None:
            return plain
        return [*plain, ("Thresholds", {"fields": list(_thresholds(obj.kind))})]

    def get_readonly_fields(self, request: HttpRequest, obj: SurveillanceRule | None = None) -> list[str]:
        return ["institution", "kind"] if obj else []

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> Any:
        """On to its thresholds."""
        return redirect("admin:risk_surveillancerule_change", obj.pk)


@admin.register(OwnerLink)
class OwnerLinkAdmin(Audited):
    tenant = "user__institution"
    name = "OWNER_LINK"
    facts = ("owner_key", "note")
    list_display = ["user", "owner_key", "note"]
    list_select_related = ["user"]
    search_fields = ["user__email", "owner_key"]
    autocomplete_fields = ["user"]
    ordering = ["owner_key", "user__email"]

    def institution(self, obj: OwnerLink) -> str:
        return str(obj.user.institution_id or "")

    def get_readonly_fields(self, request: HttpRequest, obj: OwnerLink | None = None) -> list[str]:
        return ["user"] if obj else []


def _thresholds(kind: str) -> dict[str, Any]:
    """Of a kind, by name, with type, bounds, default and description; of none for what is no kind."""
    if kind not in list(Kind):
        return {}
    described = msgspec.inspect.type_info(KINDS[Kind(kind)])
    assert isinstance(described, msgspec.inspect.StructType)
    return {field.name: field for field in described.fields}


def _field(threshold: Any) -> forms.Field:
    kind, about = threshold.type, ""
    if isinstance(kind, msgspec.inspect.Metadata):
        about, kind = (kind.extra_json_schema or {}).get("description", ""), kind.type
    return (forms.IntegerField if isinstance(kind, msgspec.inspect.IntType) else forms.FloatField)(
        required=False,
        label=threshold.name.replace("_", " "),
        help_text=f"{about} (ours: {threshold.default})",
    )


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | dict | None) else str(value)
