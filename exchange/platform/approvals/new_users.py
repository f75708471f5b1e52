"""A new user. Traders begin at once. A new colleague begins as a trader who may not sign in, and is asked for."""

from __future__ import annotations

from typing import NamedTuple

from exchange.base.ids import uuid7
from exchange.platform.approvals import roles
from exchange.platform.approvals.models import Approval
from exchange.platform.approvals.requests import Refused
from exchange.platform.audit.log import record
from exchange.platform.members import enrolment
from exchange.platform.members.models import Institution, Role, User


class Joined(NamedTuple):
    user: User
    approval: Approval | None  # of one of the staff, but for the first two
    code: str = ""  # to enrol a phone with, of those two: no one approves who could be shown it


def at_once(role: Role) -> bool:
    """True for whom no one has to approve: traders, and platform admins until there are two."""
    return role is Role.TRADER or (role is Role.PLATFORM_ADMIN and roles.alone())


def join(
    email: str, password: str, *, role: Role, institution: Institution | None, by: User | None, reason: str
) -> Joined:
    """In the caller's transaction. `by` asks for one of the staff. Raises ApprovalError."""
    roles.check_place(role, institution)
    now = at_once(role)
    if now and role is not Role.TRADER:
        roles.lock()
        now = at_once(role)
    if not now and by is None:
        raise Refused("somebody of the staff must ask for a new colleague")
    user = User.objects.create_user(
        email,
        password,
        role=role if now else Role.TRADER,
        institution=institution,
        is_active=now,
    )
    record(
        action="CREATE_USER",
        resource=f"user/{user.pk}",
        actor=str(by.pk) if by else "",
        role=by.role if by else "",
        institution=str(institution.pk) if institution else "",
        new={"role": user.role, "is_active": user.is_active},
        trace_id=uuid7(),
    )
    if now:
        return Joined(user, None, enrolment.issue(user) if user.is_staff else "")
    assert by is not None, "it was checked above"
    return Joined(user, roles.ask(user=user, role=role, institution=institution, reason=reason, by=by))
