"""The form that asks for an adjustment of a balance."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from exchange.platform.approvals.forms import AboutUserForm
from exchange.platform.approvals.models import Approval
from trading.ledger import adjustments
from trading.models import Asset


class AdjustmentForm(AboutUserForm):
    title = _("Ask for an adjustment")

    asset = forms.ModelChoiceField(
        label=_("Asset"), queryset=Asset.objects.order_by("code"), widget=UnfoldAdminSelectWidget
    )
    amount = forms.DecimalField(
        label=_("Amount"),
        localize=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("added to the balance, or taken from it if below zero"),
    )
    contra = forms.ChoiceField(
        label=_("Against"),
        choices=list(adjustments.CONTRAS.items()),
        widget=UnfoldAdminSelectWidget,
        help_text=_("custody: what came in or went out was not in the books; fees: the house gives or takes"),
    )

    def ask(self) -> Approval:
        data = self.cleaned_data
        assert self.user is not None, "it is valid"
        return adjustments.ask(
            user=self.user,
            asset=data["asset"],
            amount=data["amount"],
            contra=data["contra"],
            reason=data["reason"],
            by=self.by,
        )
