"""The pages for what goes out and comes in: exports of lists, imports of reference data."""

from __future__ import annotations

from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core import signing
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import transaction
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe
from tablib import Dataset
from unfold.widgets import UnfoldAdminFileFieldWidget

from exchange.backoffice import exporting, importing
from exchange.backoffice.columns import columns
from exchange.platform.audit.log import record

PREVIEW_SECONDS = 3600
SALT = "exchange.backoffice.import"


@require_safe
def export(request: HttpRequest, app: str, model: str, kind: str) -> HttpResponseBase:
    """The whole list that the same address without this page shows: its filters, its search, its tenancy."""
    page = _page(app, model)
    if kind not in exporting.FORMATS:
        raise Http404(kind)
    if not (page.has_view_permission(request) and request.user.has_perm("data.export")):
        raise PermissionDenied
    try:
        found = page.get_changelist_instance(request).queryset
    except IncorrectLookupParameters as error:
        raise SuspiciousOperation("no list has such filters") from error
    made = columns(page, request)
    with transaction.atomic():
        _record_export(request, f"{app}.{model}", kind)
    name = f"{model}-{timezone.now():%Y%m%dT%H%M%SZ}.{kind}"
    head = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    lines = exporting.rows(made, found)
    if kind == "csv":
        pieces = exporting.csv_pieces(made.heads(), lines)
        return StreamingHttpResponse(pieces, content_type=exporting.FORMATS[kind], headers=head)
    try:
        file = exporting.xlsx(made.heads(), lines, most=exporting.MOST_XLSX_ROWS)
    except exporting.TooMany:
        messages.error(
            request,
            _("An XLSX has at most %(most)s rows here. Take CSV, or choose less with the filters.")
            % {"most": exporting.MOST_XLSX_ROWS},
        )
        return HttpResponseRedirect(f"{_list(page)}?{request.GET.urlencode()}")
    return FileResponse(file, content_type=exporting.FORMATS[kind], headers=head)


def _record_export(request: HttpRequest, label: str, kind: str) -> None:
    """What was searched for may be a person's address: that there was a search is enough."""
    filters = {name: value for name, value in request.GET.items() if name not in ("q", "p")}
    institution = getattr(request.user, "institution_id", None)
    record(
        action="data.export",
        resource=label,
        institution=str(institution or ""),
        new={"format": kind, "filters": filters, "searched": bool(request.GET.get("q"))},
    )


class UploadForm(forms.Form):
    file = forms.FileField(
        allow_empty_file=True, widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.xlsx"})
    )


@require_http_methods(["GET", "POST"])
def load(request: HttpRequest, app: str, model: str) -> HttpResponse:
    """Upload, look at what would change, confirm. What is confirmed is what was shown: it comes back signed."""
    page, label = _page(app, model), f"{app}.{model}"
    if label not in importing.SHEETS:
        if label in importing.FOUR_EYES:
            messages.error(request, _("These take a second person: ask for them one by one."))
            return HttpResponseRedirect(_list(page))
        raise Http404(label)
    if not (
        request.user.has_perm("data.import")
        and page.has_add_permission(request)
        and page.has_change_permission(request)
    ):
        raise PermissionDenied
    shown: dict[str, Any] = {"form": UploadForm()}
    if request.method == "POST":
        try:
            if "rows" in request.POST:
                table, sure = _signed(request, label), True
            else:
                table, sure = _uploaded(request), False
        except importing.Unreadable as error:
            shown["outcome"] = importing.Outcome([], [(0, str(error))], 0)
        else:
            outcome = importing.load(label, table, save=sure)
            if sure and not outcome.errors:
                messages.success(request, _("%(count)s rows imported.") % {"count": len(outcome.changes)})
                return HttpResponseRedirect(_list(page))
            shown |= {"outcome": outcome, "rows": _sealed(request, label, table)}
    return _import_page(request, page, label, shown)


def _import_page(request: HttpRequest, page: Any, label: str, shown: dict[str, Any]) -> HttpResponse:
    sheet = importing.SHEETS[label]()
    context = {
        **admin.site.each_context(request),
        "title": _("Import %(name)s") % {"name": page.opts.verbose_name_plural},
        "opts": page.opts,
        "heads": [each.column_name for each in sheet.get_import_fields()],
        "most": importing.MOST_ROWS,
        "list": _list(page),
        **shown,
    }
    status = 400 if "outcome" in shown and shown["outcome"].errors else 200
    return TemplateResponse(request, "backoffice/import.html", context, status=status)


def _uploaded(request: HttpRequest) -> Dataset:
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        raise importing.Unreadable(_("Choose a file."))
    file = form.cleaned_data["file"]
    return importing.read(file.name, file.read(importing.MOST_BYTES + 1))


def _sealed(request: HttpRequest, label: str, table: Dataset) -> str:
    rows = [table.headers, *(list(row) for row in table)]
    return signing.dumps([label, str(request.user.pk), rows], salt=SALT, compress=True)


def _signed(request: HttpRequest, label: str) -> Dataset:
    try:
        of, who, rows = signing.loads(request.POST["rows"], salt=SALT, max_age=PREVIEW_SECONDS)
    except signing.BadSignature as error:
        raise importing.Unreadable(_("The preview is too old. Choose the file again.")) from error
    if (of, who) != (label, str(request.user.pk)):
        raise PermissionDenied
    return Dataset(*rows[1:], headers=rows[0])


def _page(app: str, model: str) -> Any:
    try:
        return admin.site._registry[apps.get_model(app, model)]
    except (LookupError, KeyError) as error:
        raise Http404(f"{app}.{model}") from error


def _list(page: Any) -> str:
    return reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_changelist")
