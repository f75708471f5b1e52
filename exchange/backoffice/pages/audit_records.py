"""The admin's page of the audit log: to look at, to search, to export. Staff of an institution see its own."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from exchange.base import ids
from exchange.base.admin.keyset import KeysetAdmin
from exchange.base.admin.time_span_filter import time_span_filter
from exchange.platform.audit.log import ORDERS
from exchange.platform.audit.models import Record, Seal
from exchange.platform.members.tenancy import TenantAdmin

AROUND = timedelta(days=7)  # after an order was placed, its commands are looked for


class ActionFilter(admin.SimpleListFilter):
    title = _("kind")
    parameter_name = "kind"
    KINDS: ClassVar[dict[str, tuple[Any, Q]]] = {
        "orders": (_("order commands"), Q(action=ORDERS)),
        "admin": (_("changes in the admin"), Q(action__startswith="admin.")),
        "sign-in": (_("sign-ins"), Q(action__startswith="sign_")),
        "command": (_("management commands"), Q(action__startswith="command.")),
        "approval": (_("approvals"), Q(action__startswith="approval")),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(key, label) for key, (label, _which) in self.KINDS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        kind = self.KINDS.get(self.value() or "")
        return queryset if kind is None else queryset.filter(kind[1])


@admin.register(Record)
class RecordAdmin(TenantAdmin, KeysetAdmin, ModelAdmin):
    tenant = "institution"
    list_display = ["at", "institution", "actor", "role", "action", "resource", "address", "number"]
    list_filter = [time_span_filter("since"), ActionFilter, "institution"]
    list_select_related = ["institution"]
    ordering = ["-id"]
    search_fields = ["pk"]  # shows the box; `get_search_results` does the search
    search_help_text = _("Actor, resource such as user/ID, trace id, an order's id, or the record's own")
    actions = None
    readonly_fields = [
        "id",
        "at",
        "institution",
        "actor",
        "role",
        "action",
        "resource",
        "before",
        "after",
        "address",
        "agent",
        "trace_id",
        "number",
        "hash",
    ]
    fields = readonly_fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        seal = Seal.objects.filter(pk=OuterRef("pk"))
        return (
            super()
            .get_queryset(request)
            .annotate(
                seal_number=Subquery(seal.values("number")[:1]), seal_hash=Subquery(seal.values("hash")[:1])
            )
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(_meaning(term)) if term else queryset), False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "audit.view") or super().has_view_permission(request, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "audit.view") or super().has_module_permission(request)

    def has_add_permission(self, request: HttpRequest, *parent: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=_("number in the chain"))
    def number(self, record: Any) -> str:
        return "-" if record.seal_number is None else str(record.seal_number)

    @admin.display(description=_("hash"))
    def hash(self, record: Any) -> str:
        return "-" if record.seal_hash is None else bytes(record.seal_hash).hex()

    @admin.display(description=_("old"))
    def before(self, record: Any) -> SafeString:
        return _shown(record.old)

    @admin.display(description=_("new"))
    def after(self, record: Any) -> SafeString:
        return _shown(record.new)


def _meaning(term: str) -> Q:
    """What has an index; order commands, which stand many in a record, by the time that an order's id tells."""
    wanted = Q(actor=term) | Q(resource=term) | Q(trace_id=term)
    try:
        key = UUID(term.rpartition("/")[2])
    except ValueError:
        return wanted
    named = [
        f"{kind}/{key}" for kind in ("user", "order", "approval", "deposit", "withdrawal", "institution")
    ]
    wanted |= Q(pk=key) | Q(actor=str(key)) | Q(resource__in=named)
    if key.version == 7:
        placed = ids.moment(key)
        span = (ids.floor(placed - timedelta(minutes=1)), ids.floor(placed + AROUND))
        wanted |= Q(action=ORDERS, id__range=span, new__contains=str(key))
    return wanted


def _shown(text: str) -> SafeString:
    with suppress(ValueError):  # else as it stands
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return format_html('<pre class="whitespace-pre-wrap break-all">{}</pre>', text)
