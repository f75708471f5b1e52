"""The admin page of fee schedules: their versions, and asking for the next one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from exchange.platform.approvals.forms import VersionForm
from exchange.platform.approvals.models import Approval
from exchange.platform.approvals.request_admin import AskingAdmin, InForce
from exchange.platform.members.models import User
from exchange.platform.members.tenancy import TenantAdmin
from trading.models import FeeSchedule
from trading.reference import fee_schedules


class FeeScheduleForm(VersionForm):
    class Meta:
        model = FeeSchedule
        fields = ["institution", "instrument", "maker", "taker", "effective_from"]


class FeesInForce(InForce):
    in_force = staticmethod(fee_schedules.in_force)


@admin.register(FeeSchedule)
class FeeScheduleAdmin(AskingAdmin, TenantAdmin, ModelAdmin):
    tenant = "institution"
    ask_permission = "fees.request"
    form = FeeScheduleForm
    list_display = ["institution", "instrument", "maker", "taker", "effective_from", "approval"]
    list_filter = [FeesInForce, "institution", "instrument"]
    list_select_related = ["institution", "instrument", "approval"]
    ordering = ["institution__code", "instrument__symbol", "-effective_from"]
    fields = ["institution", "instrument", "maker", "taker", "effective_from", "reason"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["institution", "instrument"] if obj else []

    def ask(self, request: HttpRequest, form: Any) -> Approval:
        assert isinstance(request.user, User), "the admin is for users who have signed in"
        wanted: FeeSchedule = form.instance
        return fee_schedules.ask(
            institution=wanted.institution,
            instrument=wanted.instrument,
            maker=wanted.maker,
            taker=wanted.taker,
            effective_from=form.cleaned_data["effective_from"],
            reason=form.cleaned_data["reason"],
            by=request.user,
        )
