"""Admin pages of who is who: profiles and documents, decided by their buttons; levels, changed by a second person."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import gettext as text
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.widgets import (
    UnfoldAdminDateWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from exchange.base.admin.row_actions import ReasonForm, RowAction, RowActionsAdmin
from exchange.base.ids import uuid7
from exchange.platform.approvals.models import Approval
from exchange.platform.approvals.request_admin import AskingAdmin
from exchange.platform.kyc import decisions, level_changes, selectors
from exchange.platform.kyc.levels import HIGHEST
from exchange.platform.kyc.models import (
    DOCUMENT_STEPS,
    DocumentKind,
    KycDocument,
    KycLevel,
    KycProfile,
    ProfileState,
)
from exchange.platform.members.models import User
from exchange.platform.members.tenancy import TenantAdmin

STATES = [each for each in ProfileState.choices if each[0] != ProfileState.ERASED]


class LevelForm(forms.Form):
    level = forms.TypedChoiceField(
        label=_("Level"),
        coerce=int,
        choices=[(level, str(level)) for level in range(HIGHEST + 1)],
        widget=UnfoldAdminSelectWidget(),
    )
    state = forms.ChoiceField(label=_("State"), choices=STATES, widget=UnfoldAdminSelectWidget())
    reason = forms.CharField(
        label=_("Reason"), max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2})
    )


class IdentityForm(forms.Form):
    """Empty fields are emptied."""

    name = forms.CharField(
        label=_("Name"), max_length=200, required=False, widget=UnfoldAdminTextInputWidget()
    )
    birth_date = forms.DateField(label=_("Date of birth"), required=False, widget=UnfoldAdminDateWidget())
    identity_number = forms.CharField(
        label=_("Identity number"), max_length=40, required=False, widget=UnfoldAdminTextInputWidget()
    )


class DocumentForm(forms.Form):
    kind = forms.ChoiceField(label=_("Kind"), choices=DocumentKind.choices, widget=UnfoldAdminSelectWidget())


class ReceivedForm(forms.Form):
    reference = forms.CharField(
        label=_("Where it is kept"), max_length=200, widget=UnfoldAdminTextInputWidget()
    )


class AcceptedForm(forms.Form):
    expires_on = forms.DateField(label=_("Expires on"), required=False, widget=UnfoldAdminDateWidget())


class KycAdmin(RowActionsAdmin, TenantAdmin, ModelAdmin):
    refusals: ClassVar[tuple[type[Exception], ...]] = (decisions.Refused,)
    actions = None
    show_full_result_count = False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """By the buttons, not by the form."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NewProfileForm(forms.ModelForm):
    class Meta:
        model = KycProfile
        fields = ["user"]


@admin.register(KycProfile)
class KycProfileAdmin(KycAdmin):
    tenant = "institution"
    list_display = ["user", "institution", "level", "state", "updated_at"]
    list_filter = ["state", "level", "institution"]
    list_select_related = ["user", "institution"]
    search_fields = ["user__email"]
    search_help_text = _("An e-mail address, or a whole identity number")
    ordering = ["-updated_at"]
    autocomplete_fields = ["user"]
    fields = [
        "user",
        "institution",
        ("level", "state"),
        ("name", "birth_date"),
        "identity_number",
        "updated_at",
    ]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return list(self.fields) if obj else ["user"]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **({} if obj else {"form": NewProfileForm}), **kwargs)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        found, distinct = super().get_search_results(request, queryset, search_term)
        digests = selectors.identity_digests(search_term)
        return (
            (found | queryset.filter(identity_digest__in=digests), distinct) if digests else (found, distinct)
        )

    def save_model(self, request: HttpRequest, obj: KycProfile, form: Any, change: bool) -> None:
        try:
            obj.pk = decisions.open_profile(obj.user, by=_who(request), trace_id=uuid7()).pk
        except decisions.Refused as error:
            self.message_user(request, str(error), messages.ERROR)

    def row_actions(self, request: HttpRequest, row: KycProfile) -> list[RowAction]:
        if not _may(self, request, row.user) or row.state == ProfileState.ERASED:
            return []
        return [
            RowAction("level", _("Set level and state"), LevelForm, _now(row, LevelForm)),
            RowAction("identify", _("Set who it is"), IdentityForm, _now(row, IdentityForm)),
            RowAction("document", _("Ask for a document"), DocumentForm),
        ]

    def act(self, request: HttpRequest, row: KycProfile, action: str, given: dict[str, Any]) -> str:
        done = {
            "level": decisions.set_level,
            "identify": decisions.identify,
            "document": decisions.ask_document,
        }[action]
        done(row.user, by=_who(request), trace_id=uuid7(), **given)  # type: ignore[operator]
        return text("Done.")


@admin.register(KycDocument)
class KycDocumentAdmin(KycAdmin):
    tenant = "user__institution"
    list_display = ["id", "user", "kind", "state", "expires_on", "updated_at", "decided_by"]
    list_filter = ["state", "kind", "expires_on"]
    list_select_related = ["user", "decided_by"]
    search_fields = ["=id", "user__email"]
    ordering = ["-id"]
    fields = [
        "user",
        ("kind", "state"),
        "reference",
        "expires_on",
        "reason",
        "decided_by",
        ("created_at", "updated_at"),
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Asked for on the profile's page."""
        return False

    def row_actions(self, request: HttpRequest, row: KycDocument) -> list[RowAction]:
        if not _may(self, request, row.user):
            return []
        steps = DOCUMENT_STEPS[row.state]
        offered = {
            "RECEIVED": RowAction("received", _("It is here"), ReceivedForm, _now(row, ReceivedForm)),
            "ACCEPTED": RowAction("accepted", _("Accept"), AcceptedForm, _now(row, AcceptedForm)),
            "REJECTED": RowAction("rejected", _("Reject"), ReasonForm),
        }
        return [action for state, action in offered.items() if state in steps]

    def act(self, request: HttpRequest, row: KycDocument, action: str, given: dict[str, Any]) -> str:
        decisions.decide_document(row, state=action.upper(), by=_who(request), trace_id=uuid7(), **given)
        return text("Done.")


class LevelChangeForm(forms.ModelForm):
    reason = forms.CharField(
        label=_("Reason"), max_length=500, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2})
    )

    class Meta:
        model = KycLevel
        fields = ["institution", "level", *level_changes.TERMS]


@admin.register(KycLevel)
class KycLevelAdmin(AskingAdmin, TenantAdmin, ModelAdmin):
    """An institution's own terms of a level. Saving asks for approval: caps are limits."""

    tenant = "institution"
    ask_permission = level_changes.ASK
    form = LevelChangeForm
    list_display = ["level", "institution", *level_changes.TERMS, "approval"]
    list_filter = ["institution"]
    list_select_related = ["institution", "approval"]
    ordering = ["institution__code", "level"]
    fields = ["institution", "level", *level_changes.TERMS, "reason"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["institution", "level"] if obj else []

    def ask(self, request: HttpRequest, form: Any) -> Approval:
        return level_changes.ask(form.instance, reason=form.cleaned_data["reason"], by=_who(request))


def _now(row: Any, form: type[forms.Form]) -> dict[str, Any]:
    """What stands there, so that a form changes nothing that was not edited. A decision's reason is always new."""
    return {name: getattr(row, name) for name in form.base_fields if name != "reason"}


def _may(page: TenantAdmin, request: HttpRequest, user: User) -> bool:
    return page.may(request, decisions.DECIDE) and user.pk != request.user.pk


def _who(request: HttpRequest) -> User:
    assert isinstance(request.user, User), "the admin is for users who have signed in"
    return request.user
