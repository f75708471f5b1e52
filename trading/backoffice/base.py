"""What the pages of trading have in common: big tables that are never counted, rows that are never deleted."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from exchange.base.admin.read_only import ReadOnlyAdmin
from exchange.platform.members.tenancy import TenantAdmin


class BigTableAdmin(ReadOnlyAdmin):
    """Newest first. `meaning` says what a search term may mean, in ways that have an index."""

    ordering = ["-id"]
    search_fields = ["pk"]  # shows the box; `get_search_results` does the search
    search_help_text = _("An id")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(self.meaning(request, term)) if term else queryset), False

    def meaning(self, request: HttpRequest, term: str) -> Q:
        try:
            return self.by_id(UUID(term))
        except ValueError:
            return Q(pk__in=[])

    def by_id(self, wanted: UUID) -> Q:
        return Q(pk=wanted)


class KeptAdmin(TenantAdmin, ModelAdmin):
    """Rows that others point to: never deleted. `fixed` cannot be changed once they exist."""

    fixed: ClassVar[list[str]] = []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [*self.readonly_fields, *(self.figures(self.fixed) if obj else [])]
