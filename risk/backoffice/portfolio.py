"""Admin pages of positions and portfolios, to look at, and of the parameters that they are reckoned with."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from exchange.base.admin.read_only import ReadOnlyAdmin
from exchange.platform.members.tenancy import TenantAdmin
from risk.models import Parameters, Portfolio, Position, Score


@admin.register(Position)
class PositionAdmin(TenantAdmin, ReadOnlyAdmin):
    tenant = "user__institution"
    list_display = ["user", "symbol", "quantity", "cost", "average", "realised", "trades", "changed_at"]
    list_filter = ["symbol"]
    list_select_related = ["user"]
    search_fields = ["user__email"]
    ordering = ["-id"]

    @admin.display(description=_("average cost"), empty_value="-")
    def average(self, position: Position) -> str | None:
        cost = position.average_cost
        return None if cost is None else f"{cost:.8g}"


@admin.register(Portfolio)
class PortfolioAdmin(TenantAdmin, ReadOnlyAdmin):
    tenant = "user__institution"
    list_display = [
        "user",
        "value",
        "currency",
        "var_99",
        "es_99",
        "concentrated",
        "share",
        "p_value",
        "note",
        "valued_at",
    ]
    list_select_related = ["user"]
    search_fields = ["user__email"]
    ordering = ["user"]

    @admin.display(description=_("share"), ordering="concentration", empty_value="-")
    def share(self, portfolio: Portfolio) -> str | None:
        return None if portfolio.concentration is None else f"{portfolio.concentration:.0%}"


@admin.register(Score)
class ScoreAdmin(TenantAdmin, ReadOnlyAdmin):
    tenant = "user__institution"
    list_display = ["user", "score", "parts", "reckoned_at"]
    list_select_related = ["user"]
    search_fields = ["user__email"]
    ordering = ["-score", "user"]


@admin.register(Parameters)
class ParametersAdmin(TenantAdmin, ModelAdmin):
    """One row. It counts from the next valuation on."""

    tenant = None
    list_display = ["__str__", "currency", "interval", "horizon", "least_observations", "concentration"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not Parameters.objects.exists()
