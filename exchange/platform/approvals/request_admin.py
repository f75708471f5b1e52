"""The base of admin pages whose rows come about by approval alone: saving asks, and deletes or changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as text
from django.utils.translation import gettext_lazy as _

from exchange.platform.approvals.models import Approval
from exchange.platform.approvals.requests import ApprovalError

SENT = _("Sent for approval: another person decides.")


class InForce(admin.SimpleListFilter):
    """Versions of terms by their time; `in_force` says which hold."""

    title = _("in force")
    parameter_name = "in_force"
    in_force: ClassVar[Callable[[], QuerySet[Any]]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("now", text("now")), ("later", text("later"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "later":
            return queryset.filter(effective_from__gt=timezone.now())
        if self.value() == "now":
            return queryset.filter(pk__in=type(self).in_force().values("pk"))
        return queryset


class AskingAdmin:
    """Stands before `TenantAdmin` and ModelAdmin. A page of a row asks for the next version of it."""

    ask_permission: ClassVar[str]

    def ask(self, request: HttpRequest, form: Any) -> Approval:
        """With a valid form. Raises ApprovalError."""
        raise NotImplementedError

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.may(request, self.ask_permission)  # type: ignore[attr-defined]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, self.ask_permission)  # type: ignore[attr-defined]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Who only looks is asked for no reason, and sees whose word it was."""
        names = list(super().get_fields(request, obj))  # type: ignore[misc]
        if self.has_change_permission(request, obj):
            return names
        return [*(name for name in names if name != "reason"), "approval"]

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        request.approval = None
        try:
            request.approval = self.ask(request, form)
        except ApprovalError as error:
            self.message_user(request, str(error), messages.ERROR)  # type: ignore[attr-defined]

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Nothing was added; that it was asked for is on record."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Nothing was changed; that it was asked for is on record."""

    def response_add(self, request: Any, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return self._answer(request)

    def response_change(self, request: Any, obj: Any) -> HttpResponse:
        return self._answer(request)

    def _answer(self, request: Any) -> HttpResponse:
        if request.approval is None:
            return HttpResponseRedirect(request.get_full_path())
        self.message_user(request, SENT, messages.SUCCESS)  # type: ignore[attr-defined]
        return HttpResponseRedirect(reverse("admin:approvals_approval_change", args=[request.approval.pk]))
