"""Admin pages of limits and of the kill switch. What is changed here holds within a second."""

from __future__ import annotations

from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from exchange.events import audit
from exchange.ids import uuid7
from exchange.members.models import User
from risk import blocks
from risk.models import Block, DeadMan, Limit

CEILINGS = [
    "max_open_orders",
    "max_order_notional",
    "max_daily_notional",
    "max_position",
    "price_band",
    "max_risk_score",
]


class LimitForm(forms.ModelForm):
    class Meta:
        model = Limit
        fields = ["institution", "user", "symbol", "currency", *CEILINGS]

    def clean_symbol(self) -> str:
        symbol: str = self.cleaned_data["symbol"].upper()
        if symbol and not apps.get_model("trading", "Instrument").objects.filter(symbol=symbol).exists():
            raise forms.ValidationError("There is no such market.")
        return symbol

    def clean_currency(self) -> str:
        currency: str = self.cleaned_data["currency"].upper()
        if currency and not apps.get_model("trading", "Asset").objects.filter(code=currency).exists():
            raise forms.ValidationError("There is no such asset.")
        return currency


@admin.register(Limit)
class LimitAdmin(ModelAdmin):
    form = LimitForm
    list_display = ["__str__", *CEILINGS, "updated_at"]
    list_filter = ["institution"]
    list_select_related = ["institution", "user"]
    search_fields = ["user__email", "symbol", "currency"]
    autocomplete_fields = ["user"]
    ordering = ["institution__code", "user__email", "symbol", "currency"]

    def save_model(self, request: HttpRequest, obj: Limit, form: Any, change: bool) -> None:
        with transaction.atomic():
            old = _values(Limit.objects.filter(pk=obj.pk).first())
            super().save_model(request, obj, form, change)
            _record(request, "CHANGE_LIMIT", obj, old, _values(obj))

    def delete_model(self, request: HttpRequest, obj: Limit) -> None:
        with transaction.atomic():
            _record(request, "DELETE_LIMIT", obj, _values(obj), {})
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Limit]) -> None:
        with transaction.atomic():
            for limit in queryset:
                self.delete_model(request, limit)


@admin.register(Block)
class BlockAdmin(ModelAdmin):
    """Adding one is the kill switch; it is lifted by the action, and never changed or deleted."""

    list_display = ["__str__", "reason", "by", "created_at", "lifted_at", "lifted_by"]
    list_filter = [("lifted_at", admin.EmptyFieldListFilter)]
    list_select_related = ["institution", "user"]
    search_fields = ["user__email", "institution__code", "reason"]
    autocomplete_fields = ["user"]
    fields = ["user", "institution", "reason"]
    ordering = ["-created_at"]
    actions = ["lift"]

    def save_model(self, request: HttpRequest, obj: Block, form: Any, change: bool) -> None:
        target = obj.user or obj.institution
        assert target is not None, "the form has checked that there is one"
        obj.pk = blocks.block(target, reason=obj.reason, by=_who(request), trace_id=uuid7()).pk

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Lift the block", permissions=["change"])
    def lift(self, request: HttpRequest, queryset: QuerySet[Block]) -> None:
        lifted = 0
        for each in queryset.filter(lifted_at__isnull=True):
            target = each.user or each.institution
            assert target is not None, "the database has checked that there is one"
            blocks.lift(target, reason="lifted in the back office", by=_who(request), trace_id=uuid7())
            lifted += 1
        self.message_user(request, f"{lifted} lifted.", messages.SUCCESS if lifted else messages.WARNING)


@admin.register(DeadMan)
class DeadManAdmin(ModelAdmin):
    """To look at: users set it themselves."""

    list_display = ["user", "deadline"]
    list_select_related = ["user"]
    search_fields = ["user__email"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _who(request: HttpRequest) -> str:
    assert isinstance(request.user, User), "the admin is for users who have signed in"
    return request.user.email


def _values(limit: Limit | None) -> dict[str, str]:
    if limit is None:
        return {}
    values = {name: getattr(limit, name) for name in CEILINGS}
    return {name: f"{value:f}" for name, value in values.items() if value is not None}


def _record(
    request: HttpRequest, action: str, limit: Limit, old: dict[str, str], new: dict[str, str]
) -> None:
    audit.record(
        action=action,
        resource=f"limit/{limit.pk} {limit}",
        actor=_who(request),
        institution=str(limit.institution_id or (limit.user.institution_id if limit.user else "") or ""),
        old=old,
        new=new,
        trace_id=uuid7(),
    )
