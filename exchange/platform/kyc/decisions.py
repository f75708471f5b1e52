"""What the house decides about a customer: who it is, the level, each document. No user decides about themselves."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from exchange.base import encryption
from exchange.base.env import env
from exchange.platform.audit.log import record
from exchange.platform.kyc import selectors
from exchange.platform.kyc.levels import HIGHEST
from exchange.platform.kyc.models import DOCUMENT_STEPS, KycDocument, KycProfile, ProfileState
from exchange.platform.members.models import User

DECIDE = "kyc.decide"


class Refused(Exception):
    """Its text says why, for the user who tried."""


@transaction.atomic
def open_profile(user: User, *, by: User, trace_id: str) -> KycProfile:
    """One at the level of those who have none, to work on. Raises Refused."""
    new = not KycProfile.objects.filter(user=user).exists()
    profile = _profile(user, by)
    if new:
        _record("OPEN_KYC", user, by, trace_id, {}, {"level": profile.level})
    return profile


@transaction.atomic
def identify(
    user: User, *, name: str, birth_date: date | None, identity_number: str, by: User, trace_id: str
) -> KycProfile:
    """Keep who it is; no other user of that institution has the number. Raises Refused."""
    profile = _profile(user, by)
    number = selectors.normal(identity_number)
    other = selectors.with_identity(number, profile.institution_id)
    if other is not None and other.pk != user.pk:
        raise Refused(_("Another user of this institution has this identity number."))
    changed = [
        field
        for field, new in (
            ("name", name.strip()),
            ("birth_date", birth_date.isoformat() if birth_date else ""),
            ("identity_number", number),
        )
        if getattr(profile, field) != new
    ]
    profile.name, profile.identity_number = name.strip(), number
    profile.birth_date = birth_date.isoformat() if birth_date else ""
    profile.identity_digest = encryption.digest(number, selectors.IDENTITY)
    profile.updated_at = timezone.now()
    profile.save(update_fields=["name", "birth_date", "identity_number", "identity_digest", "updated_at"])
    if changed:
        _record("IDENTIFY", user, by, trace_id, {}, {"fields": changed})
    return profile


@transaction.atomic
def set_level(user: User, *, level: int, state: str, reason: str, by: User, trace_id: str) -> KycProfile:
    """Raises Refused."""
    if not 0 <= level <= HIGHEST:
        raise Refused(_("There are the levels 0 to %(highest)s.") % {"highest": HIGHEST})
    if state not in ProfileState.values or state == ProfileState.ERASED:
        raise Refused(_("There is no such state."))
    if not reason.strip():
        raise Refused(_("Give a reason, for the record."))
    profile = _profile(user, by)
    old = {"level": profile.level, "state": profile.state}
    profile.level, profile.state, profile.updated_at = level, state, timezone.now()
    profile.save()
    new = {"level": level, "state": state, "reason": reason.strip()}
    _record("SET_KYC_LEVEL", user, by, trace_id, old, new)
    return profile


@transaction.atomic
def ask_document(user: User, *, kind: str, by: User, trace_id: str) -> KycDocument:
    """Raises Refused."""
    _profile(user, by)
    made = KycDocument.objects.create(user=user, kind=kind, decided_by=by)
    _record("ASK_DOCUMENT", user, by, trace_id, {}, {"document": str(made.pk), "kind": kind})
    return made


@transaction.atomic
def decide_document(
    document: KycDocument,
    *,
    state: str,
    reason: str = "",
    reference: str = "",
    expires_on: date | None = None,
    by: User,
    trace_id: str,
) -> KycDocument:
    """Raises Refused for a step that there is not."""
    row = KycDocument.objects.select_for_update(of=("self",)).select_related("user").get(pk=document.pk)
    _profile(row.user, by)
    if state not in DOCUMENT_STEPS.get(row.state, ()):
        raise Refused(_("It is %(state)s already.") % {"state": row.get_state_display()})
    if state == "REJECTED" and not reason.strip():
        raise Refused(_("Give a reason: the user is told."))
    old, row.state, row.reason = row.state, state, reason.strip()
    row.reference, row.expires_on = reference.strip() or row.reference, expires_on or row.expires_on
    row.decided_by, row.updated_at = by, timezone.now()
    row.save()
    new = {"document": str(row.pk), "kind": row.kind, "state": state, "reason": row.reason}
    _record("DECIDE_DOCUMENT", row.user, by, trace_id, {"state": old}, new)
    return row


def _profile(user: User, by: User) -> KycProfile:
    """Locked; made at first need at the level of those who have none. Raises Refused."""
    if user.pk == by.pk:
        raise Refused(_("Nobody decides about themselves."))
    if not by.has_perm(DECIDE):
        raise Refused(_("This needs the permission kyc.decide."))
    if by.institution_id is not None and by.institution_id != user.institution_id:
        raise Refused(_("This is a user of another institution."))
    if user.institution_id is None or user.closed_at is not None:
        raise Refused(_("Only an open account of an institution has a level."))
    fresh: dict[str, Any] = {"institution_id": user.institution_id, "level": env.exchange_kyc_level}
    KycProfile.objects.get_or_create(user=user, defaults=fresh)
    return KycProfile.objects.select_for_update(of=("self",)).get(user=user)


def _record(
    action: str, user: User, by: User, trace_id: str, old: dict[str, Any], new: dict[str, Any]
) -> None:
    record(
        action=action,
        resource=f"user/{user.pk}",
        actor=str(by.pk),
        role=by.role,
        institution=str(user.institution_id or ""),
        old=old,
        new=new,
        trace_id=trace_id,
    )
