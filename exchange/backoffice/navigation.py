"""The sidebar: what operators look for, grouped by their work. Each sees the entries that their role may open.

An entry names a model of the admin or an address. Models that no entry names come last, so none gets lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from exchange.platform.approvals.queue import badge as waiting


class Entry(NamedTuple):
    """`model` as app.model; `title` where it is not the model's own plural name; `address` names a page that is no list
    of a model; `badge` says how many there are to look at."""

    model: str
    icon: str
    title: Any = None
    address: str = ""
    permission: str = ""
    badge: Callable[[HttpRequest], str] | None = None


GROUPS: list[tuple[Any, list[Entry]]] = [
    (
        _("Overview"),
        [
            Entry("", "dashboard", _("Dashboard"), "admin:index"),
            Entry("", "search", _("Search"), "backoffice-search"),
        ],
    ),
    (
        _("Markets"),
        [
            Entry("trading.instrument", "candlestick_chart", _("Instruments")),
            Entry("trading.asset", "token", _("Assets")),
            Entry("matching.symbolgroup", "hub", _("Groups")),
            Entry("trading.move", "move_up", _("Moves")),
            Entry("marketdata.price", "price_check", _("Outside prices")),
            Entry("marketdata.candle", "bar_chart", _("Candles")),
            Entry("marketdata.depthsnapshot", "stacked_bar_chart", _("Depth")),
        ],
    ),
    (
        _("Orders and trades"),
        [
            Entry("trading.order", "list_alt", _("Orders")),
            Entry("trading.trade", "swap_horiz", _("Trades")),
            Entry("trading.pendingcommand", "pending", _("Pending commands")),
        ],
    ),
    (
        _("Money"),
        [
            Entry("trading.account", "account_balance_wallet", _("Accounts")),
            Entry("trading.transaction", "receipt_long", _("Transactions")),
            Entry("trading.posting", "format_list_numbered", _("Postings")),
            Entry("trading.deposit", "south_west", _("Deposits")),
            Entry("trading.withdrawal", "north_east", _("Withdrawals")),
            Entry("trading.feeschedule", "percent", _("Fees")),
            Entry("trading.adjustment", "edit_note", _("Adjustments")),
        ],
    ),
    (
        _("Users"),
        [
            Entry("members.user", "group", _("Users")),
            Entry("members.institution", "domain", _("Institutions")),
            Entry("members.knowndevice", "devices", _("Devices")),
            Entry("keys.apikey", "key", _("API keys")),
            Entry("notifications.usercontact", "contact_phone", _("Contacts")),
            Entry("notifications.delivery", "outgoing_mail", _("Deliveries")),
            Entry("notifications.texttemplate", "article", _("Texts of messages")),
            Entry("notifications.letterhead", "mail", _("Letterheads")),
            Entry("members.staffsession", "login", _("Staff sessions")),
        ],
    ),
    (
        _("Risk and compliance"),
        [
            Entry("risk.case", "gavel", _("Cases")),
            Entry("risk.alert", "warning", _("Alerts")),
            Entry("kyc.kycprofile", "badge", _("KYC profiles")),
            Entry("kyc.kycdocument", "description", _("KYC documents")),
            Entry("kyc.kyclevel", "stairs", _("KYC levels")),
            Entry("risk.limit", "speed", _("Limits")),
            Entry("risk.block", "block", _("Blocks")),
            Entry("risk.position", "donut_small", _("Positions")),
            Entry("risk.portfolio", "pie_chart", _("Portfolios")),
            Entry("risk.score", "leaderboard", _("Scores")),
            Entry("risk.parameters", "tune", _("Parameters")),
            Entry("risk.surveillancerule", "policy", _("Surveillance rules")),
            Entry("risk.ownerlink", "family_restroom", _("Same owners")),
            Entry("risk.deadman", "timer_off", _("Dead-man switches")),
        ],
    ),
    (_("Approvals"), [Entry("approvals.approval", "how_to_reg", _("Approvals"), badge=waiting)]),
    (_("Audit"), [Entry("audit.record", "history", _("Audit records"))]),
    (
        _("System"),
        [
            Entry("events.outboxevent", "outbox", _("Outbox")),
            Entry("matching.checkpoint", "flag", _("Checkpoints")),
            Entry("matching.journalbatch", "menu_book", _("Journal")),
        ],
    ),
]


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups that have something for the user."""
    named = {entry.model for _title, entries in GROUPS for entry in entries}
    listed = {model._meta.label_lower for model in admin.site._registry}
    others = [Entry(label, "database") for label in sorted(listed - named)]
    groups = [*GROUPS[:-1], (GROUPS[-1][0], [*GROUPS[-1][1], *others])]
    shown = [(title, [_item(request, entry) for entry in entries]) for title, entries in groups]
    return [
        {"title": title, "separator": False, "collapsible": False, "items": items}
        for title, found in shown
        if (items := [item for item in found if item])
    ]


def _item(request: HttpRequest, entry: Entry) -> dict[str, Any] | None:
    if not entry.model:
        link = reverse(entry.address)
        here = request.path == link
        return {"title": entry.title, "icon": entry.icon, "link": link, "active": here}
    model = apps.all_models[entry.model.split(".")[0]].get(entry.model.split(".")[1])
    page = admin.site._registry.get(model) if model else None
    if model is None or page is None or not page.has_view_permission(request):
        return None
    link = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return {
        "title": entry.title or capfirst(model._meta.verbose_name_plural),
        "icon": entry.icon,
        "link": link,
        "active": request.path.startswith(link),
        "badge": entry.badge(request) if entry.badge else "",
    }
