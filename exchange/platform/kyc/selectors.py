"""Reads: how far a user is identified, and what that allows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import QuerySet

from exchange.base import encryption
from exchange.base.env import env
from exchange.platform.kyc import levels
from exchange.platform.kyc.levels import Terms
from exchange.platform.kyc.models import KycDocument, KycProfile, ProfileState
from exchange.platform.members.models import User

IDENTITY = "kyc_kycprofile.identity_number"


class KycStatus(NamedTuple):
    state: str
    terms: Terms


def status(user_id: UUID | str, institution_id: UUID | str | None) -> KycStatus:
    """Of a user with a profile or without one."""
    profile = KycProfile.objects.filter(user_id=user_id).values_list("level", "state").first()
    level, state = profile or (env.exchange_kyc_level, ProfileState.UNVERIFIED.value)
    return KycStatus(state, levels.terms(institution_id, level))


def documents(user_id: UUID | str) -> QuerySet[KycDocument]:
    """Newest first."""
    return KycDocument.objects.filter(user_id=user_id).order_by("-id")


def with_identity(number: str, institution_id: UUID | str) -> User | None:
    """Who has this identity number at that institution."""
    found = (
        KycProfile.objects.filter(institution_id=institution_id, identity_digest__in=identity_digests(number))
        .select_related("user")
        .first()
    )
    return found.user if found else None


def identity_digests(number: str) -> list[str]:
    """The digests that a number may have, one for each key; none for an empty one."""
    return encryption.digests(normal(number), IDENTITY)


def normal(number: str) -> str:
    """An identity number however it was written: without spaces and dashes, in capitals."""
    return "".join(number.split()).replace("-", "").upper()


def has_expired(document: KycDocument) -> bool:
    """Accepted once, and not valid any more."""
    return document.expires_on is not None and document.expires_on < datetime.now(UTC).date()
