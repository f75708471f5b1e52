"""Admin pages of what the matching workers keep."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models.functions import Length
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from exchange.base.admin.read_only import ReadOnlyAdmin
from exchange.platform.members.tenancy import TenantAdmin
from matching.models import Checkpoint, JournalBatch, SymbolGroup


@admin.register(SymbolGroup)
class SymbolGroupAdmin(TenantAdmin, ModelAdmin):
    """A group is added here, gets its worker, and then symbols. Its name is how its journal is found: it
    stays.
    """

    tenant = None
    list_display = ["name"]
    search_fields = ["name"]

    def get_readonly_fields(self, request: HttpRequest, obj: SymbolGroup | None = None) -> list[str]:
        return ["name"] if obj else []


@admin.register(Checkpoint)
class CheckpointAdmin(TenantAdmin, ReadOnlyAdmin):
    tenant = None
    list_display = ["group", "epoch", "sequence", "position", "updated_at"]
    list_select_related = ["group"]
    ordering = ["group_id"]


@admin.register(JournalBatch)
class JournalBatchAdmin(TenantAdmin, ReadOnlyAdmin):
    tenant = None
    list_display = ["id", "group", "epoch", "first_sequence", "last_sequence", "size", "created_at"]
    list_select_related = ["group"]
    list_filter = ["group"]
    ordering = ["-id"]
    fields = ["group", "epoch", "first_sequence", "last_sequence", "size", "created_at"]
    readonly_fields = ["size"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("commands").annotate(size=Length("commands"))

    @admin.display(description=_("size in bytes"))
    def size(self, batch: Any) -> int:
        return int(batch.size)
