"""The filter by time of lists whose ids are UUIDv7."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from exchange.base import ids


class TimeSpanFilter(admin.SimpleListFilter):
    """A span of time as a range of ids, so that only its partitions are read."""

    title = _("time")
    parameter_name = "time"
    SPANS: ClassVar[dict[str, tuple[Any, timedelta]]] = {
        "hour": (_("past hour"), timedelta(hours=1)),
        "day": (_("past 24 hours"), timedelta(days=1)),
        "week": (_("past 7 days"), timedelta(days=7)),
        "month": (_("past 31 days"), timedelta(days=31)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(key, label) for key, (label, _span) in self.SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in self.SPANS:
            return queryset
        _label, span = self.SPANS[self.value() or ""]
        return queryset.filter(id__gte=ids.floor(datetime.now(UTC) - span))


def time_span_filter(parameter: str) -> type[TimeSpanFilter]:
    """The filter under another name in the page's address."""
    return type("TimeSpanFilter", (TimeSpanFilter,), {"parameter_name": parameter})
