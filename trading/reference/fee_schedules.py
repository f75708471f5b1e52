"""Fee schedules: which is in force, and how a new version comes about: asked for by one person, approved by another
(docs/decisions/015)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as text
from django.utils.translation import gettext_lazy as _

from exchange.platform.approvals import effective_dates
from exchange.platform.approvals.kinds import ApprovalKind, Change, Payload
from exchange.platform.approvals.models import Approval
from exchange.platform.approvals.requests import Refused, request
from exchange.platform.members.models import Institution, User
from trading.models import FeeSchedule, Instrument

CODE = "FEES"
RATES = {"maker": _("maker"), "taker": _("taker")}


def in_force() -> QuerySet[FeeSchedule]:
    """The version of each schedule that holds now, by the database's clock; those that have ended have no rates."""
    return (
        FeeSchedule.objects.filter(effective_from__lte=Now())
        .order_by("institution_id", "instrument_id", "-effective_from", "-pk")
        .distinct("institution_id", "instrument_id")
    )


def ask(
    *,
    institution: Institution,
    instrument: Instrument | None,
    maker: Decimal | None,
    taker: Decimal | None,
    effective_from: datetime | None,
    reason: str,
    by: User,
) -> Approval:
    """Ask for a new version. Raises ApprovalError."""
    payload = {
        "institution": str(institution.pk),
        "instrument": instrument.symbol if instrument else None,
        "maker": effective_dates.as_json(maker),
        "taker": effective_dates.as_json(taker),
        "effective_from": effective_dates.as_json(effective_from),
    }
    subject = f"fees/{institution.code} {instrument or 'all markets'}"
    return request(CODE, institution=institution, subject=subject, payload=payload, reason=reason, by=by)


def check(payload: Payload) -> None:
    effective_dates.checked(_version(payload))


def apply(approval: Approval) -> str:
    version = _version(approval.payload)
    version.approval = approval
    version.save()
    return f"feeschedule/{version.pk}"


def describe(payload: Payload) -> list[tuple[str, str]]:
    version = _version(payload)
    return [
        (text("institution"), str(version.institution)),
        (text("market"), str(version.instrument or text("all others"))),
        (text("in force from"), effective_dates.when(payload)),
    ]


def changes(payload: Payload) -> list[Change]:
    version = _version(payload)
    now = in_force().filter(institution=version.institution, instrument=version.instrument).first()
    return effective_dates.difference(RATES, now, version)


def _version(payload: Payload) -> FeeSchedule:
    """Raises Refused if what it names is gone."""
    symbol = payload["instrument"]
    instrument = Instrument.objects.filter(symbol=symbol).first() if symbol else None
    if symbol and instrument is None:
        raise Refused(text("there is no market %(symbol)s") % {"symbol": symbol})
    return FeeSchedule(
        institution=Institution.objects.get(pk=payload["institution"]),
        instrument=instrument,
        maker=_rate(payload["maker"]),
        taker=_rate(payload["taker"]),
        effective_from=effective_dates.moment(payload),
    )


def _rate(given: str | None) -> Decimal | None:
    return None if given is None else Decimal(given)


KIND = ApprovalKind(
    code=CODE,
    label=_("fees"),
    request_permission="fees.request",
    approve_permission="fees.approve",
    check=check,
    apply=apply,
    describe=describe,
    changes=changes,
)
