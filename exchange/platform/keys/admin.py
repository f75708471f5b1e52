"""API keys in the admin: to be looked at, and revoked. Only their user creates or changes them, and a secret is not
shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin
from unfold.decorators import action

from exchange.platform.keys import lifecycle
from exchange.platform.keys.models import ApiKey
from exchange.platform.members.tenancy import TenantAdmin


@admin.register(ApiKey)
class ApiKeyAdmin(TenantAdmin, ModelAdmin):
    tenant = "user__institution"
    list_display = (
        "name", "user", "kind", "scopes", "addresses", "expires_at", "last_used_at", "last_used_address", "revoked_at"
    )  # fmt: skip
    list_filter = ("kind", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("=id", "user__email", "name")
    ordering = ("-id",)
    exclude = ("secret",)
    show_full_result_count = False
    actions = ("revoke",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        return super().get_queryset(request).defer("secret")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "users.block")

    @action(description=_("Revoke"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        with transaction.atomic():
            keys = list(
                queryset.filter(revoked_at=None)
                .select_related("user")
                .order_by("pk")
                .select_for_update(of=("self",))
            )
            for key in keys:
                lifecycle.revoke(key)
        messages.success(
            request, ngettext("%d API key revoked.", "%d API keys revoked.", len(keys)) % len(keys)
        )
