"""Settings of the back office."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

# What takes a second person: code → dotted path to an `exchange.platform.approvals.kinds.ApprovalKind`.
APPROVAL_KINDS: dict[str, str] = {
    "ADJUSTMENT": "trading.ledger.adjustments.KIND",
    "FEES": "trading.reference.fee_schedules.KIND",
    "LIMITS": "risk.pretrade.limit_changes.KIND",
    "ORDER_RATE": "exchange.platform.approvals.order_rates.KIND",
    "ROLE": "exchange.platform.approvals.roles.KIND",
    "RESUME": "trading.markets.resume.KIND",
    "WITHDRAWAL": "trading.payments.approval.WITHDRAWAL",
    "DEPOSIT": "trading.payments.approval.DEPOSIT",
    "KYC_LEVEL": "exchange.platform.kyc.level_changes.KIND",
}

# What the pages of the back office look like. The sidebar is a table of its own: `exchange.backoffice.navigation`.
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "MyTrader",
    "SITE_HEADER": "MyTrader",
    "SITE_SUBHEADER": _("Back office"),
    "SITE_SYMBOL": "candlestick_chart",
    "SITE_URL": "/",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("terminal/icon.svg")}
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "SHOW_LANGUAGES": True,
    "LANGUAGES": {"action": reverse_lazy("language")},
    "BORDER_RADIUS": "6px",
    "STYLES": [lambda request: static("backoffice/backoffice.css")],
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 254.6)",
            "100": "oklch(93.2% .032 255.6)",
            "200": "oklch(88.2% .059 254.1)",
            "300": "oklch(80.9% .105 251.8)",
            "400": "oklch(70.7% .165 254.6)",
            "500": "oklch(62.3% .214 259.8)",
            "600": "oklch(54.6% .245 262.9)",
            "700": "oklch(48.8% .243 264.4)",
            "800": "oklch(42.4% .199 265.6)",
            "900": "oklch(37.9% .146 265.5)",
            "950": "oklch(28.2% .091 267.9)",
        }
    },
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": "exchange.backoffice.navigation.sidebar",
    },
    "COMMAND": {"search_callback": "exchange.backoffice.search.command"},
    "ACCOUNT": {"navigation": [{"title": _("Your sign-ins"), "link": reverse_lazy("admin:sign_ins")}]},
    "DASHBOARD_CALLBACK": "exchange.backoffice.dashboard.page",
}

FORMAT_MODULE_PATH = ["exchange.settings.formats"]
