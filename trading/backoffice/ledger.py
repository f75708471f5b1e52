"""Pages of accounts, ledger transactions and postings."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline

from exchange.base import ids
from exchange.base.admin.read_only import ReadOnlyAdmin
from exchange.base.admin.time_span_filter import TimeSpanFilter
from exchange.platform.members.tenancy import TenantAdmin
from matching.core.scale import trim
from trading.backoffice import order_search
from trading.backoffice.base import BigTableAdmin
from trading.backoffice.counterparty import transactions_of
from trading.models import (
    Account,
    Posting,
    Transaction,
)


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
    list_filter = [TimeSpanFilter, "kind"]
    inlines = [PostingInline]
    change_form_outer_before_template = "trading/transaction.html"


@admin.register(Posting)
class PostingAdmin(TenantAdmin, BigTableAdmin):
    tenant = "account__institution"
    list_display = ["id", "whole", "owner", "asset", "amount"]
    list_filter = [TimeSpanFilter, "asset"]
    list_select_related = ["account__user", "asset"]
    search_help_text = _("E-mail, id of a posting or of its transaction")

    def meaning(self, request: HttpRequest, term: str) -> Q:
        if "@" not in term:
            return super().meaning(request, term)
        accounts = Account.objects.filter(user__in=order_search.users(term))
        return Q(account__in=list(accounts.values_list("pk", flat=True)))

    def by_id(self, wanted: UUID) -> Q:
        return Q(id__range=_parts(str(wanted)))

    @admin.display(description=_("transaction"))
    def whole(self, posting: Posting) -> str:
        return str(posting.transaction_id)

    @admin.display(description=_("account of"))
    def owner(self, posting: Posting) -> str:
        return _owner(posting)
