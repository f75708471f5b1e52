"""Admin pages of market data: to look at only, services write them."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from exchange.base.admin.read_only import ReadOnlyAdmin
from exchange.base.decimals import plain
from exchange.platform.members.tenancy import TenantAdmin
from marketdata.models import Candle, DepthSnapshot, Price


@admin.register(Price)
class PriceAdmin(TenantAdmin, ReadOnlyAdmin):
    tenant = None
    list_display = ["instrument", "plain_price", "source", "stale", "priced_at"]
    list_filter = ["source", "stale"]
    list_select_related = ["instrument"]
    search_fields = ["instrument__symbol"]
    ordering = ["instrument__symbol"]
    fields = list_display

    @admin.display(description=_("price"), ordering="price")
    def plain_price(self, row: Price) -> str:
        return plain(row.price)


@admin.register(Candle)
class CandleAdmin(TenantAdmin, ReadOnlyAdmin):
    tenant = None
    list_display = ["start", "interval", "instrument", "prices", "plain_volume", "trades"]
    list_filter = ["instrument", "interval"]
    list_select_related = ["instrument"]
    ordering = ["-id"]
    fields = [*list_display, "plain_quote_volume", "first_number", "last_number"]

    @admin.display(description=_("open, high, low, close"))
    def prices(self, row: Candle) -> str:
        return "  ".join(plain(price) for price in (row.open, row.high, row.low, row.close))

    @admin.display(description=_("volume"))
    def plain_volume(self, row: Candle) -> str:
        return plain(row.volume)

    @admin.display(description=_("quote volume"))
    def plain_quote_volume(self, row: Candle) -> str:
        return plain(row.quote_volume)


@admin.register(DepthSnapshot)
class DepthSnapshotAdmin(TenantAdmin, ReadOnlyAdmin):
    tenant = None
    list_display = ["taken_at", "instrument", "sequence"]
    list_filter = ["instrument"]
    list_select_related = ["instrument"]
    ordering = ["-id"]
