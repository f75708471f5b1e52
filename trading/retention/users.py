"""Users ten years after they were closed: what is left of the person goes.

Closing forgets who the user was (`trading.retention.erasure`), but for how far they were identified, which keys
they had and the row itself. Now the first two go, and with them whatever came to be since. The row stays as an id
without a name: accounts and postings point to it, and books are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from exchange.platform.audit.log import record
from exchange.platform.keys.models import ApiKey
from exchange.platform.kyc.models import KycDocument, KycProfile
from exchange.platform.members import personal_data
from exchange.platform.members.models import KnownDevice, PersonKey, StaffSession, User
from exchange.platform.notifications.models import Delivery, Notification, UserContact
from trading.retention.erasure import DOMAIN
from trading.retention.rules import cutoff

# What is about nothing but the person; those before that others point to.
_OWN = (Delivery, Notification, UserContact, KnownDevice, StaffSession, ApiKey, KycDocument, KycProfile)


def due(now: datetime) -> list[User]:
    """Those of whom something is left, longest closed first."""
    left = Q(Exists(PersonKey.objects.filter(user=OuterRef("pk")))) | ~Q(email__endswith=f"@{DOMAIN}")
    for model in _OWN:
        left |= Q(Exists(model.objects.filter(user=OuterRef("pk"))))
    closed = User.objects.filter(closed_at__lt=cutoff("members_user", now))
    return list(closed.filter(left).order_by("closed_at"))


def forget_due(now: datetime, progress: Callable[[str], None], *, dry_run: bool) -> list[str]:
    """Ids of the users, each in a transaction of its own."""
    users = due(now)
    if not dry_run:
        for user in users:
            progress(f"user {user.pk}")
            _forget(user)
    return [str(user.pk) for user in users]


@transaction.atomic
def _forget(user: User) -> None:
    assert user.closed_at is not None, user
    counts = {model._meta.label_lower: model.objects.filter(user=user).delete()[0] for model in _OWN}
    personal_data.shred(user.pk)
    user.email = f"{user.pk}@{DOMAIN}"
    user.set_unusable_password()
    user.save(update_fields=["email", "password"])
    record(
        action="retention.user",
        resource=f"user/{user.pk}",
        institution=str(user.institution_id or ""),
        new={
            "rule": "members_user: 10 years",
            "deleted": {name: count for name, count in counts.items() if count},
        },
    )
