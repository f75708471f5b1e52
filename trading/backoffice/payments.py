"""The queues of deposits and withdrawals, and what operators do with one. Rows change through their buttons alone."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as text
from django.utils.translation import gettext_lazy as _

from exchange.base.admin.read_only import ReadOnlyAdmin
from exchange.base.admin.row_actions import ReasonForm, ReferenceForm, RowAction, RowActionsAdmin
from exchange.base.decimals import plain
from exchange.base.ids import uuid7
from exchange.platform.members import personal_data
from exchange.platform.members.models import User
from exchange.platform.members.tenancy import TenantAdmin
from trading.models import Deposit, Withdrawal
from trading.models.payments import DepositState, WithdrawalState
from trading.payments import decisions
from trading.payments.refusal import Missing, Refused


class Waiting(admin.SimpleListFilter):
    """Those that wait for somebody, unless another state is asked for."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*model_admin.model._meta.get_field("state").choices, ("all", _("all"))]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        return [first | {"display": _("open")}, *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "all":
            return queryset
        if self.value():
            return queryset.filter(state=self.value())
        return queryset.filter(closed_at__isnull=True)


class PaymentAdmin(RowActionsAdmin, TenantAdmin, ReadOnlyAdmin):
    tenant = "user__institution"
    refusals: ClassVar[tuple[type[Exception], ...]] = (Refused, Missing)
    list_filter = [Waiting, "asset", "second_person"]
    list_select_related = ["user", "asset", "decided_by"]
    search_fields = ["=id", "user__email", "=reference", "=client_reference"]
    ordering = ["-id"]
    terms: ClassVar[list[Any]] = ["user", ("plain_amount", "asset"), "where", "client_reference"]
    ending: ClassVar[list[Any]] = [
        ("asked_by", "decided_by"),
        ("transaction_id", "trace_id"),
        ("created_at", "updated_at", "closed_at"),
    ]

    @admin.display(description=_("amount"), ordering="amount")
    def plain_amount(self, row: Deposit | Withdrawal) -> str:
        return plain(row.amount)

    @admin.display(description=_("from or to"))
    def where(self, row: Deposit | Withdrawal) -> str:
        return personal_data.unseal(row.user_id, row.party, row.place)

    def may_decide(self, request: HttpRequest, row: Deposit | Withdrawal) -> bool:
        return self.may(request, decisions.DECIDE) and row.user_id != request.user.pk


@admin.register(Deposit)
class DepositAdmin(PaymentAdmin):
    list_display = [
        "id",
        "created_at",
        "user",
        "plain_amount",
        "asset",
        "state",
        "second_person",
        "decided_by",
    ]
    fields = [("state", "reason"), *PaymentAdmin.terms, ("reference", "second_person"), *PaymentAdmin.ending]

    def row_actions(self, request: HttpRequest, row: Deposit) -> list[RowAction]:
        if row.state != DepositState.REQUESTED or not self.may_decide(request, row):
            return []
        if row.second_person:
            return [
                RowAction("ask", _("It came: ask for the second person"), ReasonForm),
                RowAction("reject", _("Reject"), ReasonForm),
            ]
        return [
            RowAction("confirm", _("It came: confirm"), ReferenceForm),
            RowAction("reject", _("Reject"), ReasonForm),
        ]

    def act(self, request: HttpRequest, row: Deposit, action: str, given: dict[str, Any]) -> str:
        by, trace_id = _who(request), uuid7()
        if action == "reject":
            decisions.reject(Deposit, row.pk, by=by, reason=given["reason"], trace_id=trace_id)
            return text("Rejected.")
        decisions.confirm(row.pk, by=by, trace_id=trace_id, **given)
        return text("Confirmed and booked.") if action == "confirm" else text("It waits for a second person.")


@admin.register(Withdrawal)
class WithdrawalAdmin(PaymentAdmin):
    list_display = [
        "id",
        "created_at",
        "user",
        "plain_amount",
        "asset",
        "state",
        "second_person",
        "approved_by",
        "decided_by",
    ]
    list_select_related = ["user", "asset", "decided_by", "approved_by"]
    fields = [
        ("state", "reason"),
        *PaymentAdmin.terms,
        ("reference", "second_person"),
        "approved_by",
        *PaymentAdmin.ending,
    ]

    def row_actions(self, request: HttpRequest, row: Withdrawal) -> list[RowAction]:
        if not self.may_decide(request, row):
            return []
        reject = RowAction("reject", _("Reject"), ReasonForm)
        if row.state == WithdrawalState.REQUESTED:
            ask = RowAction("ask", _("Ask for the second person"), ReasonForm)
            return [ask if row.second_person else RowAction("approve", _("Approve")), reject]
        if row.state == WithdrawalState.APPROVED:
            return [RowAction("send", _("It was sent"), ReferenceForm), reject]
        if row.state == WithdrawalState.SENT:
            return [RowAction("complete", _("It arrived")), RowAction("fail", _("It came back"), ReasonForm)]
        return []

    def act(self, request: HttpRequest, row: Withdrawal, action: str, given: dict[str, Any]) -> str:
        by, trace_id = _who(request), uuid7()
        if action == "reject":
            decisions.reject(Withdrawal, row.pk, by=by, trace_id=trace_id, **given)
        elif action == "send":
            decisions.send(row.pk, by=by, trace_id=trace_id, **given)
        elif action == "complete":
            decisions.complete(row.pk, by=by, trace_id=trace_id)
        elif action == "fail":
            decisions.fail(row.pk, by=by, trace_id=trace_id, **given)
        else:
            decisions.approve(row.pk, by=by, trace_id=trace_id, **given)
        return text("It waits for a second person.") if action == "ask" else text("Done.")


def _who(request: HttpRequest) -> User:
    assert isinstance(request.user, User), "the admin is for users who have signed in"
    return request.user
