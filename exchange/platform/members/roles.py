"""Who may do what in the back office: one table, read by Django's permission checks.

`GRANTS` names for each role the Django permissions ("trading.view_order") and the actions ("orders.cancel") that
it has. What is not there is refused. `PLATFORM_ONLY` concerns the whole installation, so it holds for staff
without an institution alone, whatever their role. Whose rows a user sees is another matter: `members.tenancy`.

There are no permission rows in the database and no groups: a role changes by a second person's approval, the
table by a release. docs/roles.md is made from it. A superuser passes every check: that is for emergencies.

Why it is so: docs/decisions/016-tenancy-and-roles.md.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    TRADER = "TRADER", _("Trader")
    PLATFORM_ADMIN = "PLATFORM_ADMIN", _("Platform admin")
    INSTITUTION_ADMIN = "INSTITUTION_ADMIN", _("Institution admin")
    DEALER = "DEALER", _("Dealer")
    COMPLIANCE = "COMPLIANCE", _("Compliance")
    AUDITOR = "AUDITOR", _("Auditor")
    SUPPORT = "SUPPORT", _("Support")


def _may(verbs: str, *models: str) -> frozenset[str]:
    """Django's names: `_may("view change", "members.brand")`."""
    return frozenset(
        f"{app}.{verb}_{model}"
        for app, model in (each.split(".") for each in models)
        for verb in verbs.split()
    )


# What people look at, in the order of the sidebar.
_MARKETS = _may(
    "view", "trading.asset", "trading.instrument", "trading.feeschedule", "matching.symbolgroup"
) | _may("view", "marketdata.price", "marketdata.candle", "marketdata.depthsnapshot")
_TRADING = _may("view", "trading.order", "trading.trade", "trading.account")
_LEDGER = _may("view", "trading.transaction", "trading.posting", "trading.reservation")
_PAYMENTS = _may("view", "trading.deposit", "trading.withdrawal", "trading.adjustment")
_USERS = _may(
    "view",
    "members.institution",
    "members.brand",
    "members.institutionhost",
    "members.user",
    "members.knowndevice",
    "notifications.usercontact",
    "risk.block",
)
_LETTERS = _may("view", "notifications.delivery", "notifications.texttemplate", "notifications.letterhead")
_LIMITS = _may("view", "risk.limit", "risk.deadman", "risk.position", "risk.portfolio", "risk.score")
_CASES = _may("view", "risk.case", "risk.alert", "risk.casenote", "risk.surveillancerule", "risk.ownerlink")
_KYC = _may("view", "kyc.kycprofile", "kyc.kycdocument", "kyc.kyclevel")
_IDENTIFYING = _may("add change", "kyc.kycprofile", "kyc.kycdocument") | {"kyc.decide"}
_APPROVALS = _may("view", "approvals.approval")
_AUDIT = _may("view", "audit.record", "members.staffsession") | {"audit.view"}
_KEYS = _may("view", "keys.apikey")
_MACHINE = _may(
    "view",
    "events.outboxevent",
    "matching.checkpoint",
    "matching.journalbatch",
    "trading.pendingcommand",
    "trading.move",
    "risk.parameters",
)

_LOOK = _MARKETS | _TRADING | _USERS
_LOOK_CLOSELY = _LOOK | _LEDGER | _PAYMENTS | _LIMITS | _KYC | _APPROVALS | _KEYS
_LOOK_AT_ALL = _LOOK_CLOSELY | _LETTERS | _CASES | _AUDIT | _MACHINE

_OWN_LOOK = _may("change", "members.institution") | _may("add change", "members.brand")
_OWN_WORDS = _may("add change delete", "notifications.texttemplate") | _may(
    "add change", "notifications.letterhead", "notifications.usercontact"
)
_NEW_USERS = _may("add change", "members.user") | {"users.create"}
_BLOCKING = _may("add", "risk.block") | {"users.block"}
_SURVEILLANCE = _may("change", "risk.case") | _may(
    "add change delete", "risk.surveillancerule", "risk.ownerlink"
)

# Concerns the markets of all institutions, or rows of all institutions.
PLATFORM_ONLY: frozenset[str] = (
    _MACHINE
    | _may("add change delete", "trading.asset", "trading.instrument", "matching.symbolgroup")
    | _may("add delete", "members.institution")
    # Who names a host shows their pages there: an institution could take another's.
    | _may("add change delete", "members.institutionhost")
    | _may("add change", "risk.parameters")
    | {
        "events.change_outboxevent",
        "outbox.retry",
        "markets.halt",
        "markets.resume",
        "markets.create",
        "markets.move",
        "markets.approve",
        "data.import",
    }
)

GRANTS: dict[Role, frozenset[str]] = {
    Role.TRADER: frozenset(),
    Role.PLATFORM_ADMIN: _LOOK_AT_ALL
    | PLATFORM_ONLY
    | _OWN_LOOK
    | _OWN_WORDS
    | _NEW_USERS
    | _BLOCKING
    | _SURVEILLANCE
    | _may("delete", "members.knowndevice")
    | _IDENTIFYING
    | {
        "orders.cancel",
        "users.role",
        "roles.approve",
        "payments.decide",
        "payments.approve",
        "adjustments.request",
        "adjustments.approve",
        "fees.request",
        "fees.approve",
        "limits.request",
        "limits.approve",
        "cases.work",
        "data.export",
    },
    Role.INSTITUTION_ADMIN: _LOOK_CLOSELY
    | _LETTERS
    | _CASES
    | _AUDIT
    | _OWN_LOOK
    | _OWN_WORDS
    | _NEW_USERS
    | _BLOCKING
    | _may("delete", "members.knowndevice")
    | {
        "orders.cancel",
        "users.role",
        "roles.approve",
        "payments.decide",
        "payments.approve",
        "adjustments.request",
        "adjustments.approve",
        "fees.request",
        "fees.approve",
        "limits.request",
        "limits.approve",
        "data.export",
    },
    Role.DEALER: _LOOK
    | _LEDGER
    | _PAYMENTS
    | _LIMITS
    | _APPROVALS
    | _BLOCKING
    | {
        "markets.halt",
        "markets.resume",
        "orders.cancel",
        "payments.decide",
        "adjustments.request",
        "fees.request",
        "limits.request",
        "data.export",
    },
    Role.COMPLIANCE: _LOOK_CLOSELY
    | _CASES
    | _AUDIT
    | _BLOCKING
    | _SURVEILLANCE
    | _IDENTIFYING
    | {
        "orders.cancel",
        "payments.approve",
        "limits.request",
        "limits.approve",
        "cases.work",
        "data.export",
    },
    Role.AUDITOR: _LOOK_AT_ALL | {"data.export"},
    Role.SUPPORT: _LOOK
    | _PAYMENTS
    | _KEYS
    | _may("view", "notifications.delivery")
    | _may("change", "notifications.usercontact")
    | _may("delete", "members.knowndevice"),
}


def granted(role: str, *, platform: bool) -> frozenset[str]:
    """All that a role may; `platform` is for staff without an institution. Of an unknown role: nothing."""
    found = GRANTS.get(Role(role), frozenset()) if role in Role.values else frozenset()
    return found if platform else found - PLATFORM_ONLY
