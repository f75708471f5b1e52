"""Pages of assets and instruments."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from trading.backoffice.base import KeptAdmin
from trading.backoffice.market_actions import InstrumentActions
from trading.models import (
    Asset,
    Instrument,
)


@admin.register(Asset)
class AssetAdmin(KeptAdmin):
    tenant = None
    list_display = ["code", "name", "scale"]
    search_fields = ["code", "name"]
    ordering = ["code"]
    fixed: ClassVar[list[str]] = ["code", "scale"]


@admin.register(Instrument)
class InstrumentAdmin(InstrumentActions, KeptAdmin):
    """Status and group are changed by the buttons, which pass through the matcher. A new one trades at once."""

    tenant = None
    list_display = [
        "symbol",
        "status",
        "status_reason",
        "group",
        "tick_size",
        "lot_size",
        "min_notional",
        "collar",
    ]
    list_filter = ["status", "group"]
    list_select_related = ["group"]
    search_fields = ["symbol"]
    fields = [
        "symbol",
        "status",
        "status_reason",
        "group",
        "base",
        "quote",
        "tick_size",
        "lot_size",
        "min_quantity",
        "max_quantity",
        "min_notional",
        "collar",
        "market_symbol",
        "trigger_source",
    ]
    readonly_fields = ["status", "status_reason"]
    fixed: ClassVar[list[str]] = ["symbol", "base", "quote", "tick_size", "lot_size", "group"]

    def save_model(self, request: HttpRequest, obj: Instrument, form: Any, change: bool) -> None:
        """What was changed on the form and nothing else: its matcher may write the status meanwhile."""
        if change:
            obj.save(update_fields=form.changed_data)
        else:
            super().save_model(request, obj, form, change)
