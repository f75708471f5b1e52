"""Admin pages of what is traded, ordered and booked. What services write is to look at only.

Lists of big tables are never counted, and searched by what has an index (`trading.finding`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline

import trading.adjustments_admin
import trading.fees_admin
import trading.payments_admin  # noqa: F401 - the same
from exchange import ids
from exchange.base.admin.read_only import ReadOnlyAdmin
from exchange.members.tenancy import TenantAdmin, visible
from matching.core.scale import trim
from matching.order_status import CLOSED, OrderStatus
from trading import finding, life
from trading.market_admin import InstrumentActions, OrderActions
from trading.models import (
    Account,
    Asset,
    Instrument,
    Order,
    PendingCommand,
    Posting,
    Trade,
    Transaction,
)
from trading.other_side import half_seen, transactions_of


class Period(admin.SimpleListFilter):
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


class Standing(admin.SimpleListFilter):
    """By status. What is not closed is found by the indexes of open orders, so few rows are read for few orders."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("Not closed")), *Order._meta.get_field("status").flatchoices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value == "open":
            return queryset.filter(closed_at__isnull=True)
        if value not in set(OrderStatus):
            return queryset
        return queryset.filter(status=value, closed_at__isnull=OrderStatus(value) not in CLOSED)


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


@admin.register(Order)
class OrderAdmin(OrderActions, TenantAdmin, BigTableAdmin):
    tenant = "user__institution"
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
    list_filter = [Period, Standing, "instrument", "side", "type"]
    list_select_related = ["user", "instrument"]
    lookups = ("user", "status")
    search_help_text = _("E-mail, order or trade id, number, client order id")
    change_form_outer_before_template = "trading/order.html"

    def meaning(self, request: HttpRequest, term: str) -> Q:
        return finding.orders(term, visible(request.user))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        order = self.get_object(request, object_id)
        if order is not None and self.has_view_permission(request, order):
            extra_context = {**(extra_context or {}), "life": life.of(order, visible(request.user))}
        return super().change_view(request, object_id, form_url, extra_context)


@admin.register(Trade)
class TradeAdmin(TenantAdmin, BigTableAdmin):
    """Between two institutions, the staff of each see their own side."""

    tenant = ("buyer__institution", "seller__institution")
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
    lookups = ("buyer", "seller")
    search_help_text = _("E-mail, trade or order id, number")
    change_form_outer_before_template = "trading/trade.html"

    def meaning(self, request: HttpRequest, term: str) -> Q:
        return finding.trades(term, visible(request.user))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        trade = self.get_object(request, object_id)
        if trade is not None and self.has_view_permission(request, trade):
            extra_context = {**(extra_context or {}), "sides": life.sides(trade, visible(request.user))}
        return super().change_view(request, object_id, form_url, extra_context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Trade]:
        trades = super().get_queryset(request)
        institution = visible(request.user)
        return trades if institution is None else half_seen(trades, institution)


@admin.register(Account)
class AccountAdmin(TenantAdmin, ReadOnlyAdmin):
    tenant = "institution"
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
    return str(account.user or account.get_kind_display())


class PostingInline(TenantAdmin, TabularInline):
    """A transaction's postings are found by their range of ids, which is what has an index."""

    tenant = "account__institution"
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

    @admin.display(description=_("amount"))
    def plain_amount(self, posting: Posting) -> str:
        return trim(f"{posting.amount:+f}")

    @admin.display(description=_("of"))
    def owner(self, posting: Posting) -> str:
        return _owner(posting)


@admin.register(Transaction)
class TransactionAdmin(TenantAdmin, BigTableAdmin):
    tenant = ()  # a transaction has no column that says so

    @classmethod
    def of_institution(cls, institution: UUID) -> Q:
        return transactions_of(institution)

    list_display = ["id", "kind", "created_at", "trace_id"]
    list_filter = [Period, "kind"]
    inlines = [PostingInline]
    change_form_outer_before_template = "trading/transaction.html"


@admin.register(Posting)
class PostingAdmin(TenantAdmin, BigTableAdmin):
    tenant = "account__institution"
    list_display = ["id", "whole", "owner", "asset", "amount"]
    list_filter = [Period, "asset"]
    list_select_related = ["account__user", "asset"]
    search_help_text = _("E-mail, id of a posting or of its transaction")

    def meaning(self, request: HttpRequest, term: str) -> Q:
        if "@" not in term:
            return super().meaning(request, term)
        accounts = Account.objects.filter(user__in=finding.users(term))
        return Q(account__in=list(accounts.values_list("pk", flat=True)))

    def by_id(self, wanted: UUID) -> Q:
        return Q(id__range=_parts(str(wanted)))

    @admin.display(description=_("transaction"))
    def whole(self, posting: Posting) -> str:
        return str(posting.transaction_id)

    @admin.display(description=_("account of"))
    def owner(self, posting: Posting) -> str:
        return _owner(posting)


@admin.register(PendingCommand)
class PendingCommandAdmin(TenantAdmin, ReadOnlyAdmin):
    tenant = None
    list_display = ["id", "group", "kind", "order_id", "held", "created_at"]
    list_filter = ["group", "kind"]
    ordering = ["created_at"]
    fields = ["id", "group", "kind", "order_id", "hold_account", "held", "created_at"]
