"""One box for all: a user by e-mail; an order by its id, number or client order id; a trade; a transaction; a case.

Each is looked for among the rows that its own page shows to the user.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Model, Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from unfold.dataclasses import SearchResult

from exchange.backoffice.columns import NAMES
from exchange.base.admin.keyset import TooSlow, bounded
from exchange.platform.members.models import User
from exchange.platform.members.tenancy import visible
from risk.models import Case
from trading.backoffice import order_search
from trading.models import Instrument, Order, Trade, Transaction

MOST = 10  # of each kind
LEAST = 1  # characters


@dataclass(frozen=True)
class Found:
    kind: str
    title: str
    about: str
    address: str
    icon: str


def find(request: HttpRequest, term: str) -> list[Found]:
    """What the words may mean, best first. Raises TooSlow."""
    term = term.strip()
    if len(term) < LEAST:
        return []
    return [
        _told(row, icon)
        for model, icon, meaning in _MEANINGS
        for row in _rows(request, model, meaning(term, visible(request.user)))
    ]


def _rows(request: HttpRequest, model: type[Model], wanted: Q | None) -> list[Any]:
    page = admin.site._registry.get(model)
    if wanted is None or page is None or not page.has_view_permission(request):
        return []
    rows = page.get_queryset(request).filter(wanted).order_by("-pk")
    return bounded(lambda: list(rows[:MOST]))


def _told(row: Any, icon: str) -> Found:
    meta = row._meta
    name = NAMES.get(meta.label_lower)
    address = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    return Found(str(meta.verbose_name), str(getattr(row, name) if name else row), str(row.pk), address, icon)


def _users(term: str, _institution: UUID | None) -> Q | None:
    by_id = _id(term)
    return Q(email=term.lower()) if by_id is None else Q(pk=by_id)


def _orders(term: str, institution: UUID | None) -> Q | None:
    return order_search.orders(term, institution)


def _trades(term: str, institution: UUID | None) -> Q | None:
    return None if "@" in term else order_search.trades(term, institution)


def _transactions(term: str, _institution: UUID | None) -> Q | None:
    by_id = _id(term)
    return None if by_id is None else Q(pk=by_id)


def _instruments(term: str, _institution: UUID | None) -> Q | None:
    return Q(symbol=term.upper().replace("-", "/")) if "/" in term or "-" in term else None


def _cases(term: str, _institution: UUID | None) -> Q | None:
    return Q(pk=int(term)) if term.isdigit() and len(term) <= order_search.LONGEST_NUMBER else None


Meaning = Callable[[str, UUID | None], Q | None]
_MEANINGS: list[tuple[type[Model], str, Meaning]] = [
    (User, "person", _users),
    (Order, "list_alt", _orders),
    (Trade, "swap_horiz", _trades),
    (Transaction, "receipt_long", _transactions),
    (Instrument, "candlestick_chart", _instruments),
    (Case, "gavel", _cases),
]


def _id(term: str) -> UUID | None:
    try:
        return UUID(term)
    except ValueError:
        return None


def command(request: HttpRequest, term: str) -> list[SearchResult]:
    """For the box that Ctrl+K opens."""
    try:
        found = find(request, term)
    except TooSlow:
        return []
    return [SearchResult(each.title, f"{each.kind} {each.about}", each.address, each.icon) for each in found]


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """The same as a page, for a user who has no script or wants an address to keep."""
    term = request.GET.get("q", "").strip()
    slow, found = False, []
    try:
        found = find(request, term) if term else []
    except TooSlow:
        slow = True
    context = {
        **admin.site.each_context(request),
        "title": _("Search"),
        "term": term,
        "found": found,
        "slow": slow,
    }
    return TemplateResponse(request, "backoffice/search.html", context)
