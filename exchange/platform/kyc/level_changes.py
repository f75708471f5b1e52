"""What a KYC level allows, changed: asked for by one person, approved by another, as its caps are limits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as text
from django.utils.translation import gettext_lazy as _

from exchange.platform.approvals.kinds import ApprovalKind, FieldChange, Payload
from exchange.platform.approvals.models import Approval
from exchange.platform.approvals.requests import Refused, request
from exchange.platform.kyc import levels
from exchange.platform.kyc.models import KycLevel
from exchange.platform.members.models import Institution, User

CODE = "KYC_LEVEL"
ASK = "limits.request"
TERMS = {
    "name": _("name"),
    "may_trade": _("may trade"),
    "may_deposit": _("may deposit"),
    "may_withdraw": _("may withdraw"),
    "currency": _("currency"),
    "daily_deposit": _("deposits a day"),
    "daily_withdrawal": _("withdrawals a day"),
}
AMOUNTS = ("daily_deposit", "daily_withdrawal")


def ask(wanted: KycLevel, *, reason: str, by: User) -> Approval:
    """Ask for `wanted`, which is not saved, as what the level allows. Raises ApprovalError."""
    institution = wanted.institution
    payload: Payload = {
        "institution": str(institution.pk) if institution else None,
        "level": wanted.level,
        **{name: _plain(getattr(wanted, name)) for name in TERMS},
    }
    return request(
        CODE,
        institution=institution,
        subject=f"kyc-level/{wanted.level} {institution.code if institution else 'everybody'}",
        payload=payload,
        reason=reason,
        by=by,
    )


def check(payload: Payload) -> None:
    """Raises Refused."""
    wanted = _read(payload)
    try:
        wanted.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        raise Refused("; ".join(error.messages)) from error
    if any((getattr(wanted, name) or 0) < 0 for name in AMOUNTS):
        raise Refused(text("A cap is not negative; empty: there is none."))


def apply(approval: Approval) -> str:
    wanted = _read(approval.payload)
    given: dict[str, Any] = {name: getattr(wanted, name) for name in TERMS} | {"approval": approval}
    row, _made = KycLevel.objects.update_or_create(
        institution=wanted.institution, level=wanted.level, defaults=given
    )
    return f"kyc-level/{row.pk}"


def describe(payload: Payload) -> list[tuple[str, str]]:
    wanted = _read(payload)
    return [
        (text("institution"), str(wanted.institution or text("everybody"))),
        (text("level"), str(wanted.level)),
    ]


def changes(payload: Payload) -> list[FieldChange]:
    now = levels.terms(payload["institution"], payload["level"])
    wanted = _read(payload)
    pairs = ((name, getattr(now, name), getattr(wanted, name)) for name in TERMS)
    return [(str(TERMS[name]), _text(old), _text(new)) for name, old, new in pairs if old != new]


def _read(payload: Payload) -> KycLevel:
    institution = payload["institution"]
    given = {
        name: Decimal(payload[name]) if name in AMOUNTS and payload[name] is not None else payload[name]
        for name in TERMS
    }
    return KycLevel(
        institution=Institution.objects.get(pk=institution) if institution else None,
        level=payload["level"],
        **given,
    )


def _plain(value: Any) -> Any:
    return f"{value:f}" if isinstance(value, Decimal) else value


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return text("no cap") if value is None else str(value)


KIND = ApprovalKind(
    code=CODE,
    label=_("KYC level"),
    request_permission=ASK,
    approve_permission="limits.approve",
    check=check,
    apply=apply,
    describe=describe,
    changes=changes,
)
