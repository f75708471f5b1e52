"""New versions of limits: asked for by one person, approved by another.

Stricter ones too, as a limit that is too tight keeps people from closing what they have open. To stop a user at
once, an operator blocks them, halts the market or cancels what is open: that takes one person (docs/decisions/015).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as text
from django.utils.translation import gettext_lazy as _

from exchange.platform.approvals import effective_dates
from exchange.platform.approvals.kinds import Payload
from exchange.platform.approvals.models import Approval
from exchange.platform.approvals.requests import request
from exchange.platform.approvals.versioned import VersionedTerms
from exchange.platform.members.models import Institution, User
from risk.models import Limit

CODE = "LIMITS"
SCOPE = ["institution", "user", "symbol", "currency"]
COUNTS = ["max_open_orders", "max_risk_score"]
CEILINGS = {
    "max_open_orders": _("open orders"),
    "max_order_notional": _("value of an order"),
    "max_daily_notional": _("traded a day"),
    "max_position": _("position"),
    "price_band": _("price band"),
    "max_risk_score": _("risk score"),
}


def ask(
    limit: Limit, *, effective_from: datetime | None, reason: str, by: User, ceilings: bool = True
) -> Approval:
    """Ask for `limit`, which is not saved, as the version of its scope; without `ceilings` it ends there. Raises
    ApprovalError."""
    user = limit.user
    scope = {
        "institution": str(limit.institution_id) if limit.institution_id else None,
        "user": str(limit.user_id) if limit.user_id else None,
        "symbol": limit.symbol,
        "currency": limit.currency,
    }
    values = {name: getattr(limit, name) for name in CEILINGS} if ceilings else {}
    whose = f"user/{user.pk}" if user else limit.institution.code if limit.institution else "everybody"
    return request(
        CODE,
        institution=user.institution if user else limit.institution,
        subject=f"limits/{whose} {limit.symbol or limit.currency or 'all markets'}",
        payload=TERMS.payload(scope, values, effective_from),
        reason=reason,
        by=by,
        about=user,
    )


def _read(payload: Payload) -> Limit:
    institution, user = payload["institution"], payload["user"]
    return Limit(
        institution=Institution.objects.get(pk=institution) if institution else None,
        user=User.objects.get(pk=user) if user else None,
        symbol=payload["symbol"],
        currency=payload["currency"],
        effective_from=effective_dates.moment(payload),
        **{name: _ceiling(name, payload[name]) for name in CEILINGS},
    )


def _ceiling(name: str, given: Any) -> Any:
    return given if given is None or name in COUNTS else Decimal(given)


def _subject(version: Limit) -> list[tuple[str, str]]:
    return [
        (text("for"), str(version.user or version.institution or text("everybody"))),
        (text("market"), version.symbol or version.currency or text("all")),
    ]


TERMS = VersionedTerms(
    code=CODE,
    label=_("limits"),
    permission="limits",
    model=Limit,
    scope=SCOPE,
    fields=CEILINGS,
    read=_read,
    subject=_subject,
)
in_force = TERMS.in_force
KIND = TERMS.kind()
