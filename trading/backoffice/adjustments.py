"""The admin page of adjustments that were booked; they are asked for and approved in the approval queue."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from exchange.base.admin.read_only import ReadOnlyAdmin
from exchange.platform.members.tenancy import TenantAdmin
from matching.core.scale import trim
from trading.models import Adjustment


@admin.register(Adjustment)
class AdjustmentAdmin(TenantAdmin, ReadOnlyAdmin):
    tenant = "account__institution"
    list_display = ["created_at", "user", "asset", "plain_amount", "against", "approval"]
    list_filter = ["account__institution", "account__asset"]
    list_select_related = ["account__user", "account__asset", "contra", "approval"]
    search_fields = ["account__user__email", "=transaction_id"]
    ordering = ["-created_at"]
    fields = ["transaction_id", "created_at", "user", "asset", "plain_amount", "against", "approval"]

    @display(description=_("user"), ordering="account__user__email")
    def user(self, adjustment: Adjustment) -> str:
        return str(adjustment.account.user)

    @display(description=_("asset"))
    def asset(self, adjustment: Adjustment) -> str:
        return str(adjustment.account.asset)

    @display(description=_("amount"))
    def plain_amount(self, adjustment: Adjustment) -> str:
        return trim(f"{adjustment.amount:+f}")

    @display(description=_("against"))
    def against(self, adjustment: Adjustment) -> str:
        return str(adjustment.contra.get_kind_display())
