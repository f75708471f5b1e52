"""The second factor of the staff: enrolling a phone, checking a code, forgetting a lost phone.

A code is checked under the lock of its authenticator's row and used up by that: the same code is good once,
wherever it is given (sign-in or shell). Guessing is slowed by the authenticator itself, longer after each miss.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from django.db import transaction

from exchange.platform.audit import log
from exchange.platform.members import enrolment, staff_sessions
from exchange.platform.members.models import Authenticator, User
from exchange.platform.members.staff_models import DIGITS, STEP

ISSUER = "MyTrader"


def enrolled(user: User) -> bool:
    return Authenticator.objects.filter(user=user, confirmed=True).exists()


def device(user: User) -> Authenticator:
    """Raises Authenticator.DoesNotExist."""
    return Authenticator.objects.get(user=user, confirmed=True)


@transaction.atomic
def confirm(user: User, code: str) -> bool:
    """True if `code` is a right one of this active user's and was not used before; it is used up."""
    phone = Authenticator.objects.select_for_update().filter(user=user, confirmed=True).first()
    return user.is_active and phone is not None and phone.verify_token(code.strip().replace(" ", ""))


@transaction.atomic
def enrolling(user: User) -> Authenticator:
    """The secret that a user without a phone is shown until a code of it has been confirmed."""
    User.objects.select_for_update().get(pk=user.pk)  # two tabs show the same
    phone, _ = Authenticator.objects.get_or_create(user=user, confirmed=False, defaults={"name": "phone"})
    return phone


@transaction.atomic
def enrol(user: User, code: str, given: str = "") -> bool:
    """Take the shown secret as the user's second factor if `code` is one of its codes. `given` is the digest of the
    enrolment code for which it was shown."""
    User.objects.select_for_update().get(pk=user.pk)
    if enrolled(user) or not enrolment.allows(user, given):
        return False
    phone = Authenticator.objects.select_for_update().filter(user=user, confirmed=False).first()
    if phone is None or not phone.verify_token(code.strip().replace(" ", "")):
        return False
    phone.confirmed = True
    phone.save(update_fields=["confirmed"])
    enrolment.use_up(user)
    _record("SECOND_FACTOR_ENROLLED", user, actor=str(user.pk))
    return True


@transaction.atomic
def reset(user: User, *, by: User | None = None) -> str:
    """Forget a lost phone and end its owner's sessions; the code to enrol a new one with."""
    staff_sessions.end_all(user)
    removed, _ = Authenticator.objects.filter(user=user).delete()
    if removed:
        _record("SECOND_FACTOR_RESET", user, actor=str(by.pk) if by else "")
    return enrolment.issue(user, by=by)


def _record(action: str, user: User, actor: str = "") -> None:
    log.record(
        action=action, resource=f"user/{user.pk}", institution=str(user.institution_id or ""), actor=actor
    )


def address(phone: Authenticator) -> str:
    """What a phone reads from the picture: the key URI that authenticator programs have agreed on."""
    label = quote(f"{ISSUER}:{phone.user.email}")
    facts = {"secret": phone.text_secret, "issuer": ISSUER, "digits": DIGITS, "period": STEP}
    return f"otpauth://totp/{label}?{urlencode(facts)}"
