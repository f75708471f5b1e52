"""The approval queue: what was asked for, by whom, what it would change; and the second person's decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext as text
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from exchange.platform.approvals import queue, requests
from exchange.platform.approvals.forms import AskForm, sees
from exchange.platform.approvals.kinds import kind, kinds
from exchange.platform.approvals.models import Approval, State
from exchange.platform.approvals.request_admin import SENT
from exchange.platform.members.models import User
from exchange.platform.members.tenancy import TenantAdmin

VERBS: dict[str, Callable[..., Approval]] = {
    "approve": requests.approve,
    "reject": requests.reject,
    "withdraw": requests.withdraw,
}
LABELS = {
    State.PENDING: "warning",
    State.APPROVED: "success",
    State.REJECTED: "danger",
    State.EXPIRED: "default",
    State.WITHDRAWN: "default",
}


class Standing(admin.SimpleListFilter):
    """Those that wait, unless others are asked for."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        others = [(value, str(label)) for value, label in State.choices if value != State.PENDING]
        return [*others, ("all", text("All"))]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        return [first | {"display": State.PENDING.label}, *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Approval]) -> QuerySet[Approval]:
        run_out = Q(state=State.PENDING, expires_at__lte=timezone.now())
        if self.value() == "all":
            return queryset
        if self.value() == State.EXPIRED:
            return queryset.filter(run_out | Q(state=State.EXPIRED))
        if self.value():
            return queryset.filter(state=self.value())
        return queryset.filter(Q(state=State.PENDING) & ~run_out)


class KindFilter(admin.SimpleListFilter):
    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(each.code, str(each.label)) for each in kinds()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Approval]) -> QuerySet[Approval]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Approval)
class ApprovalAdmin(TenantAdmin, ModelAdmin):
    tenant = "institution"
    list_display = [
        "what",
        "stands",
        "whom",
        "values",
        "institution",
        "reason",
        "requested_by",
        "requested_at",
        "expires_at",
    ]
    list_filter = [Standing, KindFilter, "institution"]
    lookups = ("state", "kind")
    list_select_related = ["institution", "about", "requested_by"]
    search_fields = ["=id", "about__email", "requested_by__email", "subject"]
    search_help_text = _("An id, an e-mail address or a subject")
    ordering = ["-requested_at"]
    actions = None
    fields = [
        ("what", "state_now"),
        ("whom", "institution"),
        "requested_by",
        "requested_at",
        "expires_at",
        "id",
    ]
    list_before_template = "approvals/ask_links.html"
    change_form_outer_after_template = "approvals/approval.html"

    @display(description=_("what"), ordering="kind")
    def what(self, approval: Approval) -> str:
        return queue.label_of(approval.kind)

    @display(description=_("about"))
    def whom(self, approval: Approval) -> str:
        return str(approval.about) if approval.about else approval.subject

    @display(description=_("old → new"))
    def values(self, approval: Approval) -> str:
        shown = [
            f"{text(name)}: {queue.called(old)} → {queue.called(new)}" for name, old, new in approval.changes
        ]
        return ", ".join(shown) or approval.subject

    @display(description=_("state"), ordering="state", label=LABELS)
    def stands(self, approval: Approval) -> tuple[str, str]:
        state = State(queue.shown_state(approval))
        return state.value, str(state.label)

    @display(description=_("state"))
    def state_now(self, approval: Approval) -> str:
        return str(State(queue.shown_state(approval)).label)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Approval]:
        rows = super().get_queryset(request)
        return rows.select_related("institution", "about", "requested_by", "decided_by")

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("ask/<str:code>/", self.admin_site.admin_view(self.ask), name="approvals_approval_ask"),
            path(
                "<uuid:approval_id>/decide/<str:verb>/",
                self.admin_site.admin_view(self.decide),
                name="approvals_approval_decide",
            ),
        ]
        return [*own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        extra_context = {**(extra_context or {}), "to_ask": queue.to_ask(request.user)}
        return super().changelist_view(request, extra_context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        approval = self.get_object(request, object_id)
        if approval is not None and self.has_view_permission(request, approval):
            extra_context = {**(extra_context or {}), "page": queue.page(approval, _who(request))}
        return super().change_view(request, object_id, form_url, extra_context)

    def decide(self, request: HttpRequest, approval_id: UUID, verb: str) -> HttpResponse:
        """One of `VERBS`, asked for by a button of the page."""
        if verb not in VERBS:
            raise Http404(verb)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        if self.get_object(request, str(approval_id)) is None:
            raise Http404(str(approval_id))
        try:
            reason = request.POST.get("reason", "")
            decided = VERBS[verb](approval_id, by=_who(request), reason=reason)
            messages.success(request, f"{queue.label_of(decided.kind)}: {State(decided.state).label}")
            if decided.once:
                messages.warning(request, decided.once)
        except requests.ApprovalError as error:
            messages.error(request, str(error))
        return HttpResponseRedirect(reverse("admin:approvals_approval_change", args=[approval_id]))

    def _about(self, request: HttpRequest) -> dict[str, str]:
        """What an address names: ?institution=ID, or ?user=ID if the user may see them."""
        try:
            user = User.objects.filter(pk=UUID(request.GET.get("user", ""))).first()
        except ValueError:
            user = None
        named = {"email": user.email} if user and sees(_who(request), user) else {}
        return {"institution": request.GET.get("institution", ""), **named}

    def ask(self, request: HttpRequest, code: str) -> HttpResponse:
        """The form of a kind that has one."""
        try:
            wanted = kind(code)
        except KeyError as error:
            raise Http404(code) from error
        if not wanted.form:
            raise Http404(code)
        if not self.may(request, wanted.request_permission):
            raise PermissionDenied
        form_class: type[AskForm] = import_string(wanted.form)
        data = request.POST if request.method == "POST" else None
        form = form_class(data, by=_who(request), initial=self._about(request))
        if data is not None and form.is_valid():
            try:
                approval = form.ask()
            except requests.ApprovalError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, SENT)
                return redirect("admin:approvals_approval_change", approval.pk)
        context = {
            **self.admin_site.each_context(request),
            "form": form,
            "title": form.title,
            "opts": self.opts,
        }
        return render(request, "approvals/ask.html", context)


def _who(request: HttpRequest) -> User:
    assert isinstance(request.user, User), "the admin is for users who have signed in"
    return request.user
