"""Admin pages of limits and of the kill switch: a limit takes a second person, a block holds within a second."""

from __future__ import annotations

from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from exchange.base.ids import uuid7
from exchange.platform.approvals.forms import VersionForm
from exchange.platform.approvals.models import Approval
from exchange.platform.approvals.request_admin import AskingAdmin, InForce
from exchange.platform.members.models import User
from exchange.platform.members.tenancy import TenantAdmin
from risk.models import Block, DeadMan, Limit
from risk.pretrade import kill_switch, limit_changes
from risk.pretrade.limit_changes import CEILINGS, SCOPE


class LimitForm(VersionForm):
    class Meta:
        model = Limit
        fields = ["institution", "user", "symbol", "currency", *CEILINGS, "effective_from"]

    def clean_symbol(self) -> str:
        symbol: str = self.cleaned_data["symbol"].upper()
        if symbol and not apps.get_model("trading", "Instrument").objects.filter(symbol=symbol).exists():
            raise forms.ValidationError(_("There is no such market."))
        return symbol

    def clean_currency(self) -> str:
        currency: str = self.cleaned_data["currency"].upper()
        if currency and not apps.get_model("trading", "Asset").objects.filter(code=currency).exists():
            raise forms.ValidationError(_("There is no such asset."))
        return currency


class LimitsInForce(InForce):
    in_force = staticmethod(limit_changes.in_force)


@admin.register(Limit)
class LimitAdmin(AskingAdmin, TenantAdmin, ModelAdmin):
    """Versions of limits. Saving asks for one; without any ceiling it ends the limit."""

    tenant = ("institution", "user__institution")
    ask_permission = "limits.request"
    form = LimitForm
    list_display = ["__str__", *CEILINGS, "effective_from", "approval"]
    list_filter = [LimitsInForce, "institution"]
    list_select_related = ["institution", "user", "approval"]
    search_fields = ["user__email", "symbol", "currency"]
    autocomplete_fields = ["user"]
    ordering = ["institution__code", "user__email", "symbol", "currency", "-effective_from"]
    fields = [*SCOPE, *CEILINGS, "effective_from", "reason"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return SCOPE if obj else []

    def ask(self, request: HttpRequest, form: Any) -> Approval:
        assert isinstance(request.user, User), "the admin is for users who have signed in"
        data = form.cleaned_data
        return limit_changes.ask(
            form.instance, effective_from=data["effective_from"], reason=data["reason"], by=request.user
        )


@admin.register(Block)
class BlockAdmin(TenantAdmin, ModelAdmin):
    """Adding one is the kill switch; it is lifted by the action, and never changed or deleted."""

    tenant = ("institution", "user__institution")
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
        obj.pk = kill_switch.block(target, reason=obj.reason, by=_who(request), trace_id=uuid7()).pk

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_lift_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "users.block")

    @admin.action(description=_("Lift the block"), permissions=["lift"])
    def lift(self, request: HttpRequest, queryset: QuerySet[Block]) -> None:
        lifted = 0
        for each in queryset.filter(lifted_at__isnull=True):
            target = each.user or each.institution
            assert target is not None, "the database has checked that there is one"
            kill_switch.unblock(
                target, reason="lifted in the back office", by=_who(request), trace_id=uuid7()
            )
            lifted += 1
        level = messages.SUCCESS if lifted else messages.WARNING
        self.message_user(request, _("%(count)d lifted.") % {"count": lifted}, level)


@admin.register(DeadMan)
class DeadManAdmin(TenantAdmin, ModelAdmin):
    """To look at: users set it themselves."""

    tenant = "user__institution"
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
