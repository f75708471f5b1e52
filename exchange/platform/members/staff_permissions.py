"""Who of the staff may touch whom: change an account, set its password, let it in or not."""

from __future__ import annotations

from exchange.platform.members import second_factor
from exchange.platform.members.models import User
from exchange.platform.members.roles import Role, granted


def may_manage(by: User, whom: User) -> bool:
    """Traders: by all who may change users. Staff: by those who may all that these may, and more.

    Else one person could sign in as a second person and approve what they asked for. For the same reason only staff
    with a phone of their own count: who was shown the code with which one enrols a phone must not set the password as
    well. Only a superuser touches a superuser.
    """
    if by.is_superuser:
        return True
    if whom.is_superuser:
        return False
    if whom.role == Role.TRADER:
        return True
    return _of(whom) < _of(by) and second_factor.enrolled(whom)


def _of(user: User) -> frozenset[str]:
    return granted(user.role, platform=user.institution_id is None)
