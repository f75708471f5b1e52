"""Admin pages of alerts and cases: the queue, a case with its evidence, and what an operator does with it.

Rows are to look at only; what changes a case is a form of its own that calls `risk.cases.workflow`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as text
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from exchange.base.admin.read_only import ReadOnlyAdmin
from exchange.base.http.client_address import client_address
from exchange.platform.members.models import User
from exchange.platform.members.tenancy import TenantAdmin, TenantRelatedFilter, rows_of, visible
from risk.cases import dossier, redaction, workflow
from risk.models import Alert, Case
from risk.models.cases import CLOSED, UNDER_WAY, State

PERMISSION = "cases.work"


class NoteForm(forms.Form):
    text = forms.CharField(
        label=_("Note"), max_length=5000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2})
    )


class DecisionForm(forms.Form):
    verdict = forms.ChoiceField(label=_("Verdict"), widget=UnfoldAdminSelectWidget())
    reason = forms.CharField(
        label=_("Reason"),
        max_length=5000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("for the record; final"),
    )

    def __init__(self, *args: Any, case: Case, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        closing = [State(state) for state in dossier.choices(case) if state in CLOSED]
        self.fields["verdict"].choices = [(state.value, text(state.label)) for state in closing]  # type: ignore[attr-defined]


class Assignee(TenantRelatedFilter):
    """Of those who may have cases, not of all users."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        staff = rows_of(User, model_admin.admin_site, request.user) & Q(is_staff=True)
        choices: list[tuple[str, Any]] = field.get_choices(
            include_blank=False, ordering=["email"], limit_choices_to=staff
        )
        return choices


class Standing(admin.SimpleListFilter):
    """Those under way, unless another state is asked for."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*Case._meta.get_field("state").flatchoices, ("all", _("All"))]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        return [first | {"display": _("Under way")}, *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Case]) -> QuerySet[Case]:
        if self.value() == "all":
            return queryset
        return queryset.filter(state=self.value()) if self.value() else queryset.filter(state__in=UNDER_WAY)


@admin.register(Case)
class CaseAdmin(TenantAdmin, ReadOnlyAdmin):
    tenant = "user__institution"
    list_display = [
        "id",
        "severity",
        "conduct",
        "user",
        "symbol",
        "score",
        "rank",
        "state",
        "assignee",
        "opened_at",
    ]
    list_filter = [Standing, "kind", "severity", ("assignee", Assignee)]
    list_select_related = ["user", "assignee"]
    search_fields = ["=id", "user__email"]
    fields = [
        ("state", "assignee"),
        ("user", "symbol"),
        ("conduct", "severity"),
        ("score", "rank"),
        "reason",
        ("decided_by", "decided_at"),
        ("opened_at", "updated_at"),
    ]
    change_form_outer_after_template = "risk/case.html"

    @admin.display(description=_("kind"), ordering="kind")
    def conduct(self, case: Case) -> str:
        return dossier.called(case.kind)

    def get_ordering(self, request: HttpRequest) -> Any:
        return ["-severity", F("rank").desc(nulls_last=True), "-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Case]:
        return super().get_queryset(request).select_related("user", "assignee", "decided_by")

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<int:case_id>/do/<str:verb>/",
            self.admin_site.admin_view(self.act),
            name="risk_case_act",
        )
        return [own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        case = self.get_object(request, object_id)
        if case is not None and self.has_view_permission(request, case):
            extra_context = {**(extra_context or {}), "dossier": _dossier(request, case)}
        return super().change_view(request, object_id, form_url, extra_context)

    def act(self, request: HttpRequest, case_id: int, verb: str) -> HttpResponse:
        """One of `VERBS`, asked for by a form of the page."""
        if verb not in VERBS:
            raise Http404(verb)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.may(request, PERMISSION):
            raise PermissionDenied
        if not self.get_queryset(request).filter(pk=case_id).exists():
            raise Http404(str(case_id))
        try:
            with transaction.atomic():
                said = VERBS[verb](request, case_id)
            messages.success(request, said)
        except workflow.NoSuchCase as error:
            raise Http404(str(error)) from error
        except workflow.NotAllowed as error:
            messages.error(request, str(error))
        return HttpResponseRedirect(reverse("admin:risk_case_change", args=[case_id]))


@admin.register(Alert)
class AlertAdmin(TenantAdmin, ReadOnlyAdmin):
    tenant = "user__institution"
    list_display = ["id", "raised_at", "conduct", "severity", "user", "symbol", "score", "times", "case"]
    list_filter = ["kind", "severity"]
    list_select_related = ["user", "case"]
    search_fields = ["user__email"]
    ordering = ["-id"]
    exclude = ["picture", "evidence", "detail", "dedup"]  # on its case's page; may name others' users

    @admin.display(description=_("kind"), ordering="kind")
    def conduct(self, alert: Alert) -> str:
        return dossier.called(alert.kind)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        return super().get_queryset(request).defer("picture", "evidence")


def _dossier(request: HttpRequest, case: Case) -> dict[str, Any]:
    known = [(alert, _names(request, alert)) for alert in _alerts(request, case)]
    alerts = [
        {
            "kind": dossier.called(alert.kind),
            "symbol": alert.symbol,
            "severity": alert.get_severity_display(),
            "score": f"{alert.score:.3g}",
            "times": alert.times,
            "raised_at": alert.raised_at,
            "user": alert.user,
            "detail": [
                (dossier.called(name), value)
                for name, value in redaction.replace_ids(alert.detail, names).items()
            ],
            "picture": dossier.picture(alert, names),
            "tables": [_table(table) for table in dossier.tables(alert, names)],
        }
        for alert, names in known
    ]
    return {"alerts": alerts, "notes": dossier.notes(case), "forms": _forms(request, case)}


def _alerts(request: HttpRequest, case: Case) -> list[Alert]:
    institution = visible(request.user)
    found = dossier.alerts(case)
    return found if institution is None else [redaction.redact(alert, institution) for alert in found]


def _table(table: dict[str, Any]) -> dict[str, Any]:
    headers = [dossier.called(column) for column in table["headers"]]
    return {**table, "name": dossier.called(table["name"]), "headers": headers}


def _names(request: HttpRequest, alert: Alert) -> dict[str, str]:
    """User's id → e-mail, of those whom the reader may see."""
    if not request.user.has_perm("members.view_user"):
        return {}
    seen = User.objects.filter(rows_of(User, admin.site, request.user), pk__in=redaction.ids(alert))
    return {str(pk): email for pk, email in seen.values_list("pk", "email")}


def _forms(request: HttpRequest, case: Case) -> list[dict[str, Any]]:
    """What the reader may do now."""
    if case.state in CLOSED or not request.user.has_perm(PERMISSION):
        return []
    found: list[tuple[str, str, forms.Form | None]] = []
    if case.assignee_id != request.user.pk:
        found.append(("assign", text("Assign to me"), None))
    if case.state == State.INVESTIGATING:
        found.append(("release", text("Give it back"), None))
    found += [("note", text("Add the note"), NoteForm()), ("decide", text("Decide"), DecisionForm(case=case))]
    return [
        {
            "name": verb,
            "label": label,
            "fields": form,
            "address": reverse("admin:risk_case_act", args=[case.pk, verb]),
        }
        for verb, label, form in found
    ]


def _assign(request: HttpRequest, case_id: int) -> str:
    workflow.assign(case_id, to=_who(request), by=_who(request), address=client_address(request))
    return text("Case %(case)s is yours.") % {"case": case_id}


def _release(request: HttpRequest, case_id: int) -> str:
    workflow.release(case_id, by=_who(request), address=client_address(request))
    return text("Case %(case)s is nobody's.") % {"case": case_id}


def _note(request: HttpRequest, case_id: int) -> str:
    form = NoteForm(request.POST)
    words = form.cleaned_data["text"] if form.is_valid() else ""
    workflow.note(case_id, text=words, by=_who(request), address=client_address(request))
    return text("Noted.")


def _decide(request: HttpRequest, case_id: int) -> str:
    verdict = request.POST.get("verdict", "")
    if verdict not in CLOSED:
        raise workflow.NotAllowed(text("choose a verdict"))
    reason = request.POST.get("reason", "")[:5000]
    workflow.decide(
        case_id, verdict=State(verdict), reason=reason, by=_who(request), address=client_address(request)
    )
    said = {"case": case_id, "state": text(State(verdict).label).lower()}
    return text("Case %(case)s is %(state)s.") % said


VERBS: dict[str, Callable[[HttpRequest, int], str]] = {
    "assign": _assign,
    "release": _release,
    "note": _note,
    "decide": _decide,
}


def _who(request: HttpRequest) -> User:
    assert isinstance(request.user, User), "the admin lets only users in"
    return request.user
