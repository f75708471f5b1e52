"""Admin pages of what is traded, ordered and booked. What services write is to look at only.

Lists of big tables are never counted. They are searched by what has an index: an id, or the user's e-mail.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from exchange import ids
from matching.admin import ReadOnlyAdmin
from matching.core.scale import trim
from trading.models import (
    Account,
    Asset,
    FeeSchedule,
    Instrument,
    Order,
    PendingCommand,
    Posting,
    Trade,
    Transaction,
)
from trading.models.fields import AmountField


class Period(admin.SimpleListFilter):
    """A span of time as a range of ids, so that only its partitions are read."""

    title = "time"
    parameter_name = "time"
    SPANS: ClassVar[dict[str, tuple[str, timedelta]]] = {
        "hour": ("past hour", timedelta(hours=1)),
        "day": ("past 24 hours", timedelta(days=1)),
        "week": ("past 7 days", timedelta(days=7)),
        "month": ("past 31 days", timedelta(days=31)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(key, label) for key, (label, _) in self.SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in self.SPANS:
            return queryset
        _, span = self.SPANS[self.value() or ""]
        return queryset.filter(id__gte=ids.floor(datetime.now(UTC) - span))


Column = str | Callable[[Any], str | None]


class AmountsAdmin(ReadOnlyAdmin):
    """Shows amounts as people write them: 0.2 and not with all 18 places of the column."""

    def get_list_display(self, request: HttpRequest) -> list[Column]:
        return [self._plain(name) for name in super().get_list_display(request)]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Column]:
        return [self._plain(name) for name in super().get_fields(request, obj)]

    def _plain(self, name: str) -> Column:
        field = self.opts.get_field(name) if name in self._amounts else None
        if field is None:
            return name

        @admin.display(description=field.verbose_name, ordering=name, empty_value="-")
        def text(row: Any) -> str | None:
            value = getattr(row, name)
            return None if value is None else trim(f"{value:f}")

        return text

    @property
    def _amounts(self) -> set[str]:
        return {field.name for field in self.opts.get_fields() if isinstance(field, AmountField)}


class BigTableAdmin(AmountsAdmin):
    """Newest first. `search_emails` names the users whose e-mail a search looks at."""

    ordering = ["-id"]
    search_fields = ["pk"]  # shows the box; `get_search_results` does the search
    search_emails: ClassVar[list[str]] = []

    @property
    def search_help_text(self) -> str:
        return "An id or an e-mail address" if self.search_emails else "An id"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(self.by_id(UUID(term))), False
        except ValueError:  # no id
            emails: list[Any] = [(f"{name}__email", term.lower()) for name in self.search_emails]
        return (queryset.filter(Q.create(emails, connector=Q.OR)) if emails else queryset.none()), False

    def by_id(self, wanted: UUID) -> Q:
        return Q(pk=wanted)


class KeptAdmin(ModelAdmin):
    """Rows that others point to: never deleted. `fixed` cannot be changed once they exist."""

    fixed: ClassVar[list[str]] = []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*self.readonly_fields, *(self.fixed if obj else [])]


@admin.register(Asset)
class AssetAdmin(KeptAdmin):
    list_display = ["code", "name", "scale"]
    search_fields = ["code", "name"]
    ordering = ["code"]
    fixed: ClassVar[list[str]] = ["code", "scale"]


@admin.register(Instrument)
class InstrumentAdmin(KeptAdmin):
    """The status is changed by the halt and resume commands, which pass through the matcher."""

    list_display = ["symbol", "status", "group", "tick_size", "lot_size", "min_notional", "collar"]
    list_filter = ["status", "group"]
    list_select_related = ["group"]
    search_fields = ["symbol"]
    fields = [
        "symbol",
        "base",
        "quote",
        "tick_size",
        "lot_size",
        "min_quantity",
        "max_quantity",
        "min_notional",
        "collar",
        "group",
        "status",
    ]
    readonly_fields = ["status"]
    fixed: ClassVar[list[str]] = ["symbol", "base", "quote", "tick_size", "lot_size", "group"]


@admin.register(FeeSchedule)
class FeeScheduleAdmin(ModelAdmin):
    list_display = ["institution", "instrument", "maker", "taker"]
    list_filter = ["institution", "instrument"]
    list_select_related = ["institution", "instrument"]


@admin.register(Order)
class OrderAdmin(BigTableAdmin):
    list_display = [
        "number",
        "created_at",
        "user",
        "instrument",
        "side",
        "type",
        "price",
        "quantity",
        "filled_quantity",
        "status",
        "reason",
    ]
    list_filter = [Period, "instrument", "status", "side", "type"]
    list_select_related = ["user", "instrument"]
    search_emails: ClassVar[list[str]] = ["user"]


@admin.register(Trade)
class TradeAdmin(BigTableAdmin):
    list_display = [
        "number",
        "executed_at",
        "instrument",
        "price",
        "quantity",
        "buyer",
        "seller",
        "is_buyer_maker",
    ]
    list_filter = [Period, "instrument"]
    list_select_related = ["instrument", "buyer", "seller"]
    search_emails: ClassVar[list[str]] = ["buyer", "seller"]


@admin.register(Account)
class AccountAdmin(AmountsAdmin):
    list_display = ["id", "kind", "institution", "user", "asset", "available", "held"]
    list_filter = ["kind", "institution", "asset"]
    list_select_related = ["institution", "user", "asset"]
    search_fields = ["user__email"]
    ordering = ["-id"]


def _parts(transaction: str) -> tuple[str, str]:
    """The range of ids that the transaction's postings are in; a posting's own id does as well."""
    return ids.part(transaction, 0), ids.part(transaction, 255)


def _owner(posting: Posting) -> str:
    account = posting.account
    return str(account.user or account.kind)


class PostingInline(TabularInline):
    """A transaction's postings are found by their range of ids, which is what has an index."""

    model = Posting
    fields = ["account", "owner", "asset", "plain_amount"]
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Posting]:
        queryset = super().get_queryset(request).select_related("account__user", "asset")
        match = request.resolver_match
        whole = match.kwargs.get("object_id", "") if match else ""
        return queryset.filter(id__range=_parts(whole)) if whole else queryset

    @admin.display(description="amount")
    def plain_amount(self, posting: Posting) -> str:
        return trim(f"{posting.amount:+f}")

    @admin.display(description="of")
    def owner(self, posting: Posting) -> str:
        return _owner(posting)


@admin.register(Transaction)
class TransactionAdmin(BigTableAdmin):
    list_display = ["id", "kind", "created_at", "trace_id"]
    list_filter = [Period, "kind"]
    inlines = [PostingInline]


@admin.register(Posting)
class PostingAdmin(BigTableAdmin):
    list_display = ["id", "transaction_id", "owner", "asset", "amount"]
    list_filter = [Period, "asset"]
    list_select_related = ["account__user", "asset"]
    search_emails: ClassVar[list[str]] = ["account__user"]

    def by_id(self, wanted: UUID) -> Q:
        return Q(id__range=_parts(str(wanted)))

    @admin.display(description="account of")
    def owner(self, posting: Posting) -> str:
        return _owner(posting)


@admin.register(PendingCommand)
class PendingCommandAdmin(AmountsAdmin):
    list_display = ["id", "group", "kind", "order_id", "held", "created_at"]
    list_filter = ["group", "kind"]
    ordering = ["created_at"]
    fields = ["id", "group", "kind", "order_id", "hold_account", "held", "created_at"]
