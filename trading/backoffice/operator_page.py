"""A page of the back office on which an operator does something to some rows: what it does, a form, what came of it.

A action is a function that gets the rows and the form's data in an open transaction, and gives what follows its
commit: a function that waits for what came of it and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget

from exchange.base.admin.row_actions import ReasonForm, reason_field
from exchange.platform.approvals.requests import ApprovalError
from exchange.platform.members.models import User
from matching.core.types import MarketStatus
from matching.models import SymbolGroup
from risk.pretrade.kill_switch import AlreadyBlocked, NotBlocked
from trading.markets.move import CannotMove
from trading.markets.restrict import NeedsSecondPerson
from trading.markets.status_control import UnknownMarket
from trading.orders.operator_commands import REASON_LENGTH

MOST_ROWS = 100

Answer = tuple[int, str]  # a level of `messages`, and the text
After = Callable[[], list[Answer]]
OperatorAction = Callable[[HttpRequest, list[Any], dict[str, Any]], After]


class RecordedReasonForm(ReasonForm):
    reason = reason_field(REASON_LENGTH, help_text=_("for the record"))


class ResumeForm(RecordedReasonForm):
    field_order = ("status", "reason")
    status = forms.ChoiceField(
        label=_("To"),
        choices=[
            (status.value, _(status.value)) for status in (MarketStatus.TRADING, MarketStatus.POST_ONLY)
        ],
        widget=UnfoldAdminSelectWidget(),
    )


class MoveForm(RecordedReasonForm):
    field_order = ("group", "reason")
    group = forms.ModelChoiceField(
        label=_("To group"), queryset=SymbolGroup.objects.order_by("name"), widget=UnfoldAdminSelectWidget()
    )


def show(
    admin: Any,
    request: HttpRequest,
    object_id: str,
    action: OperatorAction,
    *,
    title: Any,
    what: Any,
    form_class: type[forms.Form] = RecordedReasonForm,
) -> HttpResponse:
    """The page, or what came of it. `object_id` may be several, with commas, of those that the user may see."""
    rows = _rows(admin, request, object_id)
    form = form_class(request.POST if request.method == "POST" else None)
    opts = admin.opts
    back = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
    if len(rows) == 1:
        back = reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[rows[0].pk])
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                after = action(request, rows, form.cleaned_data)
        except (NeedsSecondPerson, CannotMove, UnknownMarket, ApprovalError, ValueError) as error:
            form.add_error(None, str(error))
        except AlreadyBlocked:
            form.add_error(None, ValidationError(_("blocked already")))
        except NotBlocked:
            form.add_error(None, ValidationError(_("not blocked")))
        else:
            for level, said in after():
                messages.add_message(request, level, said)
            return HttpResponseRedirect(back)
    context = {
        **admin.admin_site.each_context(request),
        "form": form,
        "title": title,
        "what": what,
        "targets": rows,
        "back": back,
        "opts": opts,
    }
    return render(request, "trading/operate.html", context)


def selected(admin: Any, request: HttpRequest, rows: QuerySet[Any], action: str) -> HttpResponse | None:
    """From a list's action to the page of what it does."""
    keys = [str(row.pk) for row in rows[: MOST_ROWS + 1]]
    if not keys:  # what was chosen is gone, or was never theirs to see
        return None
    if len(keys) > MOST_ROWS:
        messages.error(request, _("Choose at most %(most)s.") % {"most": MOST_ROWS})
        return None
    opts = admin.opts
    return HttpResponseRedirect(
        reverse(f"admin:{opts.app_label}_{opts.model_name}_{action}", args=[",".join(keys)])
    )


def who(request: HttpRequest) -> User:
    assert isinstance(request.user, User), "the admin lets no other in"
    return request.user


def _rows(admin: Any, request: HttpRequest, object_id: str) -> list[Any]:
    """All of them, or 404: also for one that exists and is another institution's."""
    keys = object_id.split(",")[: MOST_ROWS + 1]
    try:
        rows = list(admin.get_queryset(request).filter(pk__in=keys).order_by("pk"))
    except (ValueError, ValidationError) as error:
        raise Http404(object_id) from error
    if not rows or len(rows) != len(set(keys)):
        raise Http404(object_id)
    return rows
