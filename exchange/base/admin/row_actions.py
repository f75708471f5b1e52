"""What a member of the staff does with one row: buttons below the fields of its page, each with a small form.

    class WithdrawalAdmin(RowActionsAdmin, TenantAdmin, ReadOnlyAdmin):
        def row_actions(self, request, row): return [RowAction("reject", _("Reject"), ReasonForm)]
        def act(self, request, row, action, given): …; return _("Rejected.")

Rows that the user may not see are not there for a button either; a button that the page does not offer does
nothing. `act` raises one of `refusals` to say why it did not; its text is shown.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget


def reason_field(max_length: int, **options: Any) -> forms.CharField:
    return forms.CharField(
        label=_("Reason"),
        max_length=max_length,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        **options,
    )


class ReasonForm(forms.Form):
    reason = reason_field(300)


class ReferenceForm(forms.Form):
    reference = forms.CharField(label=_("Reference"), max_length=100, widget=UnfoldAdminTextInputWidget())


class RowAction(NamedTuple):
    """`name` stands in the address; `form` asks for what it needs, None for a mere button. It begins with
    `initial`."""

    name: str
    label: Any
    form: type[forms.Form] | None = None
    initial: dict[str, Any] | None = None


class RowActionsAdmin:
    """Goes before ModelAdmin."""

    refusals: ClassVar[tuple[type[Exception], ...]] = ()
    change_form_outer_after_template = "backoffice/row_actions.html"

    def row_actions(self, request: HttpRequest, row: Any) -> list[RowAction]:
        """What the user may do with `row` now."""
        raise NotImplementedError

    def act(self, request: HttpRequest, row: Any, action: str, given: dict[str, Any]) -> str:
        """Do it, in a transaction of its own; what to say. Raises one of `refusals`."""
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        site, opts = self.admin_site, self.opts  # type: ignore[attr-defined]
        own = path(
            "<path:object_id>/do/<slug:action>/",
            site.admin_view(self.do),
            name=f"{opts.app_label}_{opts.model_name}_do",
        )
        return [own, *super().get_urls()]  # type: ignore[misc]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if row is not None and self.has_view_permission(request, row):  # type: ignore[attr-defined]
            actions = [
                {
                    "name": action.name,
                    "label": action.label,
                    "fields": form,
                    "address": self._address(row, action),
                }
                for action in self.row_actions(request, row)
                for form in [action.form(prefix=action.name, initial=action.initial) if action.form else None]
            ]
            extra_context = {**(extra_context or {}), "row_actions": actions}
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)  # type: ignore[misc]
        return response

    def do(self, request: HttpRequest, object_id: str, action: str) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if row is None or not self.has_view_permission(request, row):  # type: ignore[attr-defined]
            raise Http404(object_id)
        offered = next((each for each in self.row_actions(request, row) if each.name == action), None)
        if offered is None:
            messages.error(request, _("This cannot be done with it now, or not by you."))
        elif (given := self._given(request, offered)) is not None:
            try:
                messages.success(request, self.act(request, row, action, given))
            except self.refusals as error:
                messages.error(request, str(error))
        opts = self.opts  # type: ignore[attr-defined]
        return HttpResponseRedirect(
            reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[row.pk])
        )

    def _given(self, request: HttpRequest, action: RowAction) -> dict[str, Any] | None:
        """What the form says; None, and a message, if it says something that cannot be."""
        if action.form is None:
            return {}
        form = action.form(request.POST, prefix=action.name)
        if form.is_valid():
            return form.cleaned_data
        for name, errors in form.errors.items():
            label = form.fields[name].label or name if name in form.fields else ""
            messages.error(request, f"{label}: {' '.join(map(str, errors))}")
        return None

    def _address(self, row: Any, action: RowAction) -> str:
        opts = self.opts  # type: ignore[attr-defined]
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_do", args=[row.pk, action.name])
