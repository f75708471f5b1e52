"""The base of every admin page whose rows services own."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator

from exchange.base.admin.keyset import KeysetAdmin


class ReadOnlyAdmin(KeysetAdmin, ModelAdmin):
    """To look at, never to touch. A page has `TenantAdmin` before it. Lists are not counted."""

    paginator = InfinitePaginator
    list_per_page = 50
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
