"""Fee schedules: which is in force, and how a new version comes about: asked for by one person, approved by another
(docs/decisions/015)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.utils.translation import gettext as text
from django.utils.translation import gettext_lazy as _

from exchange.platform.approvals import effective_dates
from exchange.platform.approvals.kinds import Payload
from exchange.platform.approvals.models import Approval
from exchange.platform.approvals.requests import Refused, request
from exchange.platform.approvals.versioned import VersionedTerms
from exchange.platform.members.models import Institution, User
from trading.models import FeeSchedule, Instrument

CODE = "FEES"


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
    scope = {
        "institution": str(institution.pk),
        "instrument": instrument.symbol if instrument else None,
    }
    payload = TERMS.payload(scope, {"maker": maker, "taker": taker}, effective_from)
    subject = f"fees/{institution.code} {instrument or 'all markets'}"
    return request(CODE, institution=institution, subject=subject, payload=payload, reason=reason, by=by)


def _read(payload: Payload) -> FeeSchedule:
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


def _subject(version: FeeSchedule) -> list[tuple[str, str]]:
    return [
        (text("institution"), str(version.institution)),
        (text("market"), str(version.instrument or text("all others"))),
    ]


TERMS = VersionedTerms(
    code=CODE,
    label=_("fees"),
    permission="fees",
    model=FeeSchedule,
    scope=("institution_id", "instrument_id"),
    fields={"maker": _("maker"), "taker": _("taker")},
    read=_read,
    subject=_subject,
)
in_force = TERMS.in_force  # those that have ended have no rates
KIND = TERMS.kind()
