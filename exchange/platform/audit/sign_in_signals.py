"""Sign-ins that fail, and sign-outs of the back office, as Django signals them; `members.devices` records who got in.

A wrong password and a wrong second factor signal alike. An e-mail that no user has is kept as a digest: people type
passwords there.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_out, user_login_failed
from django.db import transaction
from django.dispatch import receiver

from exchange.platform.audit import row_values
from exchange.platform.audit.log import record


@receiver(user_login_failed, dispatch_uid="audit.sign_in_failed")
def failed(sender: Any, credentials: dict[str, Any], **_: Any) -> None:
    email = str(credentials.get("username") or credentials.get("email") or "").strip().lower()
    user: Any = get_user_model().objects.filter(email=email.replace("\0", "")).first() if email else None
    with transaction.atomic():
        record(
            action="sign_in.failed",
            resource=f"user/{user.pk}" if user else f"user/{row_values.personal(email)}",
            actor=str(user.pk) if user else "anonymous",
            role=user.role if user else "",
            institution=str(user.institution_id or "") if user else "",
        )


@receiver(user_logged_out, dispatch_uid="audit.signed_out")
def signed_out(sender: Any, user: Any, **_: Any) -> None:
    if user is not None:
        with transaction.atomic():
            record_action("sign_out", user)


def record_action(action: str, user: Any, **new: Any) -> None:
    """What a user did to their own sign-in; in the caller's transaction."""
    record(
        action=action,
        resource=f"user/{user.pk}",
        actor=str(user.pk),
        role=user.role,
        institution=str(user.institution_id or ""),
        new=new,
    )
