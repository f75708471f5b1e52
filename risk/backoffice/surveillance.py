"""Admin pages of surveillance: thresholds, and who belongs together."""

from __future__ import annotations

from typing import Any

import msgspec
from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin

from exchange.platform.members.tenancy import TenantAdmin
from risk.detectors import registry
from risk.models import OwnerLink, SurveillanceRule


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
                registry.parse(self.instance.kind, values)
            except ValueError as error:
                raise forms.ValidationError(str(error)) from None
            self.instance.thresholds = values
        return cleaned


@admin.register(SurveillanceRule)
class SurveillanceRuleAdmin(TenantAdmin, ModelAdmin):
    tenant = "institution"
    form = RuleForm
    list_display = ["kind", "institution", "enabled", "severity", "thresholds", "updated_at"]
    list_filter = ["kind", "institution"]
    list_select_related = ["institution"]
    ordering = ["kind", "institution__code"]

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
        return [*plain, (_("Thresholds"), {"fields": list(_thresholds(obj.kind))})]

    def get_readonly_fields(self, request: HttpRequest, obj: SurveillanceRule | None = None) -> list[str]:
        return ["institution", "kind"] if obj else []

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> Any:
        """On to its thresholds."""
        return redirect("admin:risk_surveillancerule_change", obj.pk)


@admin.register(OwnerLink)
class OwnerLinkAdmin(TenantAdmin, ModelAdmin):
    tenant = "user__institution"
    list_display = ["user", "owner_key", "note"]
    list_select_related = ["user"]
    search_fields = ["user__email", "owner_key"]
    autocomplete_fields = ["user"]
    ordering = ["owner_key", "user__email"]

    def get_readonly_fields(self, request: HttpRequest, obj: OwnerLink | None = None) -> list[str]:
        return ["user"] if obj else []


def _thresholds(kind: str) -> dict[str, Any]:
    """Of a kind, by name, with type, bounds, default and description; of none for what is no kind."""
    if kind not in registry.KINDS:
        return {}
    described = msgspec.inspect.type_info(registry.KINDS[kind].thresholds)
    assert isinstance(described, msgspec.inspect.StructType)
    return {field.name: field for field in described.fields}


def _field(threshold: Any) -> forms.Field:
    kind, about = threshold.type, ""
    if isinstance(kind, msgspec.inspect.Metadata):
        about, kind = (kind.extra_json_schema or {}).get("description", ""), kind.type
    return (forms.IntegerField if isinstance(kind, msgspec.inspect.IntType) else forms.FloatField)(
        required=False,
        label=_(threshold.name.replace("_", " ")),
        help_text=_("%(about)s (ours: %(ours)s)") % {"about": _(about), "ours": threshold.default},
    )
