"""The form that asks for an order rate."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from exchange.platform.approvals import order_rates
from exchange.platform.approvals.forms import AboutUserForm
from exchange.platform.approvals.models import Approval
from exchange.platform.members.models import Institution
from exchange.platform.members.tenancy import visible


class RateForm(AboutUserForm):
    """Of one user or, asked for by the platform's staff, of an institution's users who have none of their own."""

    title = _("Ask for an order rate")

    institution = forms.ModelChoiceField(
        label=_("Institution"),
        queryset=Institution.objects.order_by("name"),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text=_("instead of a user: the rate of all its users who have none of their own"),
    )
    order_rate = forms.IntegerField(
        label=_("Orders a second"),
        required=False,
        min_value=1,
        max_value=order_rates.MOST,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("empty: of a user the institution's, of an institution the installation's"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if visible(self.by) is None:
            self.fields["email"].required = False
        else:
            del self.fields["institution"]

    def clean_email(self) -> str:
        self.user = None
        return super().clean_email() if self.cleaned_data["email"] else ""

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        if not self.errors and bool(data["email"]) == bool(data.get("institution")):
            raise forms.ValidationError(_("Name a user or an institution."))
        return data

    def ask(self) -> Approval:
        data = self.cleaned_data
        return order_rates.ask(
            self.user or data["institution"],
            order_rate=data["order_rate"],
            reason=data["reason"],
            by=self.by,
        )
