"""Pages of orders, and of commands that wait for their matcher."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from exchange.base.admin.read_only import ReadOnlyAdmin
from exchange.base.admin.time_span_filter import TimeSpanFilter
from exchange.platform.members.tenancy import TenantAdmin, visible
from matching.order_status import CLOSED, OrderStatus
from trading.backoffice import order_search, order_timeline
from trading.backoffice.base import BigTableAdmin
from trading.backoffice.market_actions import OrderActions
from trading.models import (
    Order,
    PendingCommand,
)


class Standing(admin.SimpleListFilter):
    """By status. What is not closed is found by the indexes of open orders, so few rows are read for few orders."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("Not closed")), *Order._meta.get_field("status").flatchoices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value == "open":
            return queryset.filter(closed_at__isnull=True)
        if value not in set(OrderStatus):
            return queryset
        return queryset.filter(status=value, closed_at__isnull=OrderStatus(value) not in CLOSED)


@admin.register(Order)
class OrderAdmin(OrderActions, TenantAdmin, BigTableAdmin):
    tenant = "user__institution"
    list_display = [
        "number",
        "created_at",
        "user",
        "instrument",
        "side",
        "type",
        "price",
        "quantity",
        "filled_quantity",
        "status",
        "reason",
    ]
    list_filter = [TimeSpanFilter, Standing, "instrument", "side", "type"]
    list_select_related = ["user", "instrument"]
    lookups = ("user", "status")
    search_help_text = _("E-mail, order or trade id, number, client order id")
    change_form_outer_before_template = "trading/order.html"

    def meaning(self, request: HttpRequest, term: str) -> Q:
        return order_search.orders(term, visible(request.user))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        order = self.get_object(request, object_id)
        if order is not None and self.has_view_permission(request, order):
            extra_context = {
                **(extra_context or {}),
                "life": order_timeline.build(order, visible(request.user)),
            }
        return super().change_view(request, object_id, form_url, extra_context)


@admin.register(PendingCommand)
class PendingCommandAdmin(TenantAdmin, ReadOnlyAdmin):
    tenant = None
    list_display = ["id", "group", "kind", "order_id", "held", "created_at"]
    list_filter = ["group", "kind"]
    ordering = ["created_at"]
    fields = ["id", "group", "kind", "order_id", "hold_account", "held", "created_at"]
