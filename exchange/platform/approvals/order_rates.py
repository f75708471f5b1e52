"""Order rates, of a user or of an institution's users: limits, so asked for by one person and approved by another.

An institution's rate protects the platform, so the platform's staff decide it, and that of a user which is above it.
"""

from __future__ import annotations

from django.utils.translation import gettext as text
from django.utils.translation import gettext_lazy as _

from exchange.base.env import env
from exchange.platform.approvals import effective_dates
from exchange.platform.approvals.kinds import ApprovalKind, FieldChange, Payload
from exchange.platform.approvals.models import Approval
from exchange.platform.approvals.requests import Refused, request
from exchange.platform.members.models import Institution, User

CODE = "ORDER_RATE"
MOST = 2**31 - 1  # that its column holds


def ask(whose: Institution | User, *, order_rate: int | None, reason: str, by: User) -> Approval:
    """Ask for a rate in orders a second; None: what holds without one. Raises ApprovalError."""
    user = whose if isinstance(whose, User) else None
    home = user.institution if user else None
    above = home is not None and (order_rate or 0) > (home.order_rate or env.exchange_order_rate)
    return request(
        CODE,
        institution=None if above else home,
        subject=f"order rate of {f'user/{user.pk}' if user else f'institution/{whose.pk}'}",
        payload={"user" if user else "institution": str(whose.pk), "order_rate": order_rate},
        reason=reason,
        by=by,
        about=user,
    )


def check(payload: Payload) -> None:
    """Raises Refused."""
    rate = payload["order_rate"]
    if rate is not None and not 1 <= rate <= MOST:
        raise Refused(text("a rate is from 1 to %(most)s orders a second, or empty") % {"most": MOST})
    _row(payload)


def apply(approval: Approval) -> str:
    wanted = _wanted(approval.payload)
    wanted.save(update_fields=["order_rate"])
    return f"{wanted._meta.model_name}/{wanted.pk}"


def describe(payload: Payload) -> list[tuple[str, str]]:
    row = _row(payload)
    return [(text("user") if isinstance(row, User) else text("institution"), str(row))]


def changes(payload: Payload) -> list[FieldChange]:
    return effective_dates.difference({"order_rate": _("orders a second")}, _row(payload), _wanted(payload))


def _row(payload: Payload) -> Institution | User:
    if "user" in payload:
        return User.objects.get(pk=payload["user"])
    return Institution.objects.get(pk=payload["institution"])


def _wanted(payload: Payload) -> Institution | User:
    row = _row(payload)
    row.order_rate = payload["order_rate"]
    return row


KIND = ApprovalKind(
    code=CODE,
    label=_("order rate"),
    request_permission="limits.request",
    approve_permission="limits.approve",
    check=check,
    apply=apply,
    describe=describe,
    changes=changes,
    form="exchange.platform.approvals.rate_form.RateForm",
)
