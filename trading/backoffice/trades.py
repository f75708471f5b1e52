"""The page of trades."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from exchange.base.admin.time_span_filter import TimeSpanFilter
from exchange.platform.members.tenancy import TenantAdmin, visible
from trading.backoffice import order_search, order_timeline
from trading.backoffice.base import BigTableAdmin
from trading.backoffice.counterparty import redact_counterparty
from trading.models import (
    Trade,
)


@admin.register(Trade)
class TradeAdmin(TenantAdmin, BigTableAdmin):
    """Between two institutions, the staff of each see their own side."""

    tenant = ("buyer__institution", "seller__institution")
    list_display = [
        "number",
        "executed_at",
        "instrument",
        "price",
        "quantity",
        "buyer",
        "seller",
        "is_buyer_maker",
    ]
    list_filter = [TimeSpanFilter, "instrument"]
    list_select_related = ["instrument", "buyer", "seller"]
    lookups = ("buyer", "seller")
    search_help_text = _("E-mail, trade or order id, number")
    change_form_outer_before_template = "trading/trade.html"

    def meaning(self, request: HttpRequest, term: str) -> Q:
        return order_search.trades(term, visible(request.user))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        trade = self.get_object(request, object_id)
        if trade is not None and self.has_view_permission(request, trade):
            extra_context = {
                **(extra_context or {}),
                "sides": order_timeline.sides(trade, visible(request.user)),
            }
        return super().change_view(request, object_id, form_url, extra_context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Trade]:
        trades = super().get_queryset(request)
        institution = visible(request.user)
        return trades if institution is None else redact_counterparty(trades, institution)
