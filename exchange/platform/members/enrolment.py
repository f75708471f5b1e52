"""The code with which a member of the staff enrols a phone when they have none.

A password alone would let in the person who set it, and enrol their phone: they would then be two persons. So the
secret of a new phone is shown for a code alone, which went to another person: who approved the role, or stood for
the one who lost a phone. It is good once, and a new one voids it. In a demo who was given none needs none.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b32encode

from django.db import transaction
from django.utils import timezone

from exchange.platform.audit import log
from exchange.platform.members import demo_mode
from exchange.platform.members.models import Authenticator, Enrolment, User

CODE_BYTES = 10  # sixteen letters and digits


@transaction.atomic
def issue(user: User, *, by: User | None = None) -> str:
    """A new code. The one before is void, and so is a secret that was shown for it."""
    User.objects.select_for_update().get(pk=user.pk)
    code = b32encode(secrets.token_bytes(CODE_BYTES)).decode()
    Authenticator.objects.filter(user=user, confirmed=False).delete()
    made = {"digest": digest(code), "made_at": timezone.now()}
    Enrolment.objects.update_or_create(user=user, defaults=made)
    log.record(
        action="ENROLMENT_CODE",
        resource=f"user/{user.pk}",
        institution=str(user.institution_id or ""),
        actor=str(by.pk) if by else "",
    )
    return "-".join(code[at : at + 4] for at in range(0, len(code), 4))


def digest(code: str) -> str:
    """Of a code however it was typed in."""
    plain = "".join(filter(str.isalnum, code)).upper()
    return hashlib.sha256(plain.encode()).hexdigest()


def allows(user: User, given: str) -> bool:
    """True if `given` is the digest of the code that is good now, or none is needed."""
    found = Enrolment.objects.filter(user=user).first()
    if found is None:
        return demo_mode.is_demo()
    return secrets.compare_digest(found.digest, given)


def use_up(user: User) -> None:
    Enrolment.objects.filter(user=user).delete()
