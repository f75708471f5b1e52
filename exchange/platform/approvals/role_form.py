"""The form that asks for a user's role."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget

from exchange.platform.approvals import roles
from exchange.platform.approvals.forms import AboutUserForm
from exchange.platform.approvals.models import Approval
from exchange.platform.members.models import Institution, Role
from exchange.platform.members.tenancy import visible


class RoleForm(AboutUserForm):
    title = _("Ask for a role")

    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, widget=UnfoldAdminSelectWidget)
    institution = forms.ModelChoiceField(
        label=_("Institution"),
        queryset=Institution.objects.order_by("name"),
        required=False,
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        mine = visible(self.by)
        choice = self.fields["institution"]
        assert isinstance(choice, forms.ModelChoiceField)
        choice.empty_label = str(_("the platform"))  # in the language of the user
        if mine is not None:
            choice.queryset = Institution.objects.filter(pk=mine)
            choice.required, choice.empty_label = True, None

    def ask(self) -> Approval:
        data = self.cleaned_data
        assert self.user is not None, "it is valid"
        return roles.ask(
            user=self.user,
            role=data["role"],
            institution=data["institution"],
            reason=data["reason"],
            by=self.by,
        )
