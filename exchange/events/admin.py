"""Plain admin page of the outbox."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator

from exchange.events.models import OutboxEvent


@admin.register(OutboxEvent)
class OutboxEventAdmin(ModelAdmin):
    """To look at, never to touch. The list is not counted: COUNT(*) reads the whole table."""

    list_display = ["id", "topic", "key", "status", "tries", "published_at"]
    list_filter = ["topic", "status"]
    search_fields = ["key"]
    ordering = ["-id"]
    actions = None
    show_full_result_count = False
    paginator = InfinitePaginator
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
