"""The outbox for operators: to look at, and to decide about what Kafka refused."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from exchange.base.admin.keyset import KeysetAdmin
from exchange.operations import event_repair
from exchange.platform.events.models import OutboxEvent
from exchange.platform.members.tenancy import TenantAdmin

Chosen = QuerySet[OutboxEvent]


@admin.register(OutboxEvent)
class OutboxEventAdmin(TenantAdmin, KeysetAdmin, ModelAdmin):
    """Nothing is edited. The list is not counted: COUNT(*) reads the whole table."""

    tenant = None
    list_display = ["id", "topic", "key", "status", "tries", "reason", "next_try_at", "published_at"]
    list_filter = ["topic", "status"]
    search_fields = ["key"]
    ordering = ["-id"]
    actions = ["try_again", "give_up"]

    @admin.action(description=_("Try failed events again"), permissions=["repair"])
    def try_again(self, request: HttpRequest, chosen: Chosen) -> None:
        done = event_repair.retry(_ids(chosen), actor=str(request.user.pk))
        self._tell(request, _("%(count)d events will be tried again."), done)

    @admin.action(
        description=_("Give up refused events, so that later ones of their keys go on"),
        permissions=["repair"],
    )
    def give_up(self, request: HttpRequest, chosen: Chosen) -> None:
        done = event_repair.discard(_ids(chosen), actor=str(request.user.pk))
        self._tell(request, _("%(count)d events given up."), done)

    def _tell(self, request: HttpRequest, what: Any, done: list[int]) -> None:
        level = messages.SUCCESS if done else messages.WARNING
        self.message_user(request, what % {"count": len(done)}, level)

    def has_repair_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "outbox.retry")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _ids(chosen: Chosen) -> list[int]:
    return list(chosen.values_list("id", flat=True))
