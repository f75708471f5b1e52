"""Forms that ask for a second person. They check what can be checked, so that a request can be carried out."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.core.exceptions import PermissionDenied
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from exchange.platform.approvals.models import Approval
from exchange.platform.approvals.requests import LONGEST
from exchange.platform.members.models import User, UserManager
from exchange.platform.members.tenancy import visible


def reason_field() -> forms.CharField:
    return forms.CharField(
        label=_("Reason"),
        max_length=LONGEST,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("for the second person, and for the record"),
    )


def effective_field() -> forms.SplitDateTimeField:
    return forms.SplitDateTimeField(
        label=_("In force from"),
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text=_("UTC; empty: as soon as it is approved"),
    )


def later(moment: Any) -> Any:
    """For `clean_effective_from`: a time to come, or none."""
    if moment is not None and moment <= timezone.now():
        raise forms.ValidationError(_("Name a time to come, or none."))
    return moment


class VersionForm(forms.ModelForm):
    """The next version of terms: filled in with those of the one before, without a time of its own."""

    reason = reason_field()
    effective_from = effective_field()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["effective_from"] = None

    def clean_effective_from(self) -> Any:
        return later(self.cleaned_data["effective_from"])


class AskForm(forms.Form):
    """Asked for on a page of its own. `by` is who fills it in."""

    title: ClassVar[Any] = ""
    reason = reason_field()

    def __init__(self, *args: Any, by: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.by = by
        self.order_fields([*(name for name in self.fields if name != "reason"), "reason"])

    def ask(self) -> Approval:
        """With valid data. Raises ApprovalError."""
        raise NotImplementedError


class AboutUserForm(AskForm):
    """Concerns a user, who is named by e-mail."""

    email = forms.EmailField(label=_("User (e-mail)"), widget=UnfoldAdminTextInputWidget)

    def clean_email(self) -> str:
        email = UserManager.normalize_email(self.cleaned_data["email"])
        self.user = User.objects.filter(email=email).select_related("institution").first()
        if self.user is None or not sees(self.by, self.user):
            raise forms.ValidationError(_("There is no such user."))
        return email


def sees(who: User, user: User) -> bool:
    try:
        mine = visible(who)
    except PermissionDenied:
        return False
    return mine is None or user.institution_id == mine
