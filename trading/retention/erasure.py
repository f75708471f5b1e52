"""Closing an account for good and forgetting whose it was, where the law asks for that.

Orders, trades, ledger and payments stay, as rows of a user who can no longer be named: the e-mail gives way to the
user's id, sealed columns are emptied, and what stands in rows that never change is sealed with the person's own key
(`exchange.platform.members.personal_data`), which is deleted. The audit log names people by id, so its chain stays
as it is.

Refused while there is anything to settle (docs/decisions/018). Known limitations: events that Kafka has, and those that
wait in the outbox until their partition goes, speak of sign-ins with an address; backups are as old as they are. A name
that a user gave an order or a payment (client_order_id, client_reference) stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from exchange.platform.approvals.models import Approval
from exchange.platform.audit.log import record
from exchange.platform.keys import lifecycle
from exchange.platform.keys.models import ApiKey
from exchange.platform.kyc.models import KycDocument, KycProfile, ProfileState
from exchange.platform.members import personal_data
from exchange.platform.members.models import KnownDevice, PersonKey, Role, User
from exchange.platform.members.staff_models import Authenticator
from exchange.platform.notifications.models import Delivery, Notification, Preference, UserContact
from risk.models import Case, DeadMan, OwnerLink
from risk.models.cases import UNDER_WAY
from trading.models import Account, Deposit, Order, Withdrawal

DOMAIN = "erased.invalid"  # RFC 2606: no address there is ever given out


class Refused(Exception):
    """There is something to settle first. `reasons` are sentences."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


def obstacles(user: User) -> list[str]:
    """Why it cannot be erased now; empty if it can."""
    return list(_obstacles(user))


def _obstacles(user: User) -> Iterator[str]:
    if user.email.endswith(f"@{DOMAIN}"):
        yield f"it was erased already: it was closed at {user.closed_at:%Y-%m-%d %H:%M} UTC"
    if user.role != Role.TRADER or user.is_superuser:
        yield f"it is of the staff ({user.get_role_display()}), whom records name: take the role away first"
    funds = Account.objects.filter(user=user).filter(~Q(available=0) | ~Q(held=0))
    for code, available, held in funds.values_list("asset__code", "available", "held"):
        yield f"it has {available.normalize():f} {code} available and {held.normalize():f} held"
    for rows, what in (
        (Order.objects.filter(user=user, closed_at__isnull=True), "open orders"),
        (Deposit.objects.filter(user=user, closed_at__isnull=True), "open deposits"),
        (Withdrawal.objects.filter(user=user, closed_at__isnull=True), "open withdrawals"),
        (Case.objects.filter(user=user, state__in=UNDER_WAY), "cases under way"),
        (Approval.objects.filter(about=user, state="PENDING"), "approvals that wait"),
    ):
        count = rows.count()
        if count:
            yield f"there are {count} {what}"


def holdings(user: User) -> dict[str, int]:
    """What there is of the person, by name: how many rows would be emptied or deleted."""
    found = {name: rows.count() for name, rows in _deleted(user).items()}
    found["kyc_profile"] = KycProfile.objects.filter(user=user).count()
    found["kyc_documents"] = KycDocument.objects.filter(user=user).count()
    found["api_keys"] = ApiKey.objects.filter(user=user).count()
    found["person_key"] = PersonKey.objects.filter(user=user).count()
    return found


@transaction.atomic
def close(user: User, *, reason: str, trace_id: str) -> None:
    """Close alone: who it was is kept until `retention` finds it old enough. Raises Refused."""
    locked = _settled(user)
    if locked.closed_at is not None:
        raise Refused([f"it was closed at {locked.closed_at:%Y-%m-%d %H:%M} UTC already"])
    _end_keys(locked)
    locked.is_active, locked.closed_at = False, timezone.now()
    locked.save(update_fields=["is_active", "closed_at"])
    record(
        action="CLOSE_USER",
        resource=f"user/{locked.pk}",
        institution=str(locked.institution_id or ""),
        new={"reason": reason},
        trace_id=trace_id,
    )


def _settled(user: User) -> User:
    """Locked, its accounts too so that nothing comes in. Raises Refused."""
    locked = User.objects.select_for_update(of=("self",)).get(pk=user.pk)
    list(Account.objects.select_for_update(no_key=True).filter(user=locked).order_by("pk"))
    reasons = obstacles(locked)
    if reasons:
        raise Refused(reasons)
    return locked


@transaction.atomic
def erase(user: User, *, reason: str, trace_id: str) -> dict[str, int]:
    """Close, if it is not, and forget; what was there. Raises Refused."""
    locked = _settled(user)
    found = holdings(locked)
    for rows in _deleted(locked).values():
        rows.delete()
    _forget_admin_log(locked)
    _empty_kyc(locked)
    _end_keys(locked)
    ApiKey.objects.filter(user=locked).update(name="erased", addresses=[], last_used_address="")
    personal_data.shred(locked.pk)
    _rename(locked)
    record(
        action="ERASE_USER",
        resource=f"user/{locked.pk}",
        institution=str(locked.institution_id or ""),
        new={"reason": reason, "erased": found},
        trace_id=trace_id,
    )
    return found


def _deleted(user: User) -> dict[str, QuerySet[Any]]:
    """Rows that are about nothing but the person, those before that others point to."""
    return {
        "deliveries": Delivery.objects.filter(user=user),
        "notifications": Notification.objects.filter(user=user),
        "preferences": Preference.objects.filter(user=user),
        "contact": UserContact.objects.filter(user=user),
        "devices": KnownDevice.objects.filter(user=user),
        "authenticators": Authenticator.objects.filter(user=user),
        "owner_link": OwnerLink.objects.filter(user=user),
        "dead_man_switch": DeadMan.objects.filter(user=user),
        "failed_sign_ins": AccessAttempt.objects.filter(username=user.email),
        "sign_in_failures": AccessFailureLog.objects.filter(username=user.email),
        "sign_ins": AccessLog.objects.filter(username=user.email),
    }


def _forget_admin_log(user: User) -> None:
    """Django's own history of the admin keeps the text of a row."""
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(User), object_id=str(user.pk)
    )
    entries.update(object_repr=str(user.pk), change_message="")


def _empty_kyc(user: User) -> None:
    """That the user was identified, and how far, stays; who it was does not."""
    KycProfile.objects.filter(user=user).update(
        level=0,
        state=ProfileState.ERASED,
        name="",
        birth_date="",
        identity_number="",
        identity_digest="",
        updated_at=timezone.now(),
    )
    KycDocument.objects.filter(user=user).update(reference="", updated_at=timezone.now())


def _end_keys(user: User) -> None:
    for key in ApiKey.objects.select_for_update(of=("self",)).filter(user=user):
        lifecycle.revoke(key)


def _rename(user: User) -> None:
    user.email = f"{user.pk}@{DOMAIN}"
    user.set_unusable_password()
    user.is_active, user.last_login, user.order_rate = False, None, None
    user.closed_at = user.closed_at or timezone.now()
    user.save()
