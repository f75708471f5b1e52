"""Who is of the staff, and as what: a change of role takes a second person.

A new colleague begins as a trader who may not sign in; the approval makes them what they are to be, and lets them in.
The approver is shown the code with which they enrol a phone, and must be another person than who set their password.
Until there have been two platform admins there is no one to ask: `create_user` then makes them at once (`alone`).
"""

from __future__ import annotations

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as text
from django.utils.translation import gettext_lazy as _

from exchange.platform.approvals.kinds import ApprovalKind, FieldChange, Payload
from exchange.platform.approvals.models import Approval, State
from exchange.platform.approvals.requests import Refused, request
from exchange.platform.audit.models import Record
from exchange.platform.members import enrolment, second_factor, staff_sessions
from exchange.platform.members.models import Authenticator, Institution, Role, User
from exchange.platform.members.roles import granted

CODE = "ROLE"
PERMISSION = "roles.approve"
ENOUGH = 2


def alone() -> bool:
    """True until the platform has had two people who approve roles. Who was let go counts as well: nobody gets rid
    of the others to be alone again."""
    return User.objects.filter(role__in=_deciding(), institution__isnull=True).count() < ENOUGH


def _deciding() -> list[str]:
    return [role for role in Role.values if PERMISSION in granted(role, platform=True)]


def witnesses(user: User) -> QuerySet[User]:
    """Who can stand for `user` when they enrol another phone: others with a phone who approve roles there."""
    here = Q(institution=None) | Q(institution=user.institution_id)
    phones = Authenticator.objects.filter(confirmed=True)
    found = User.objects.filter(here, role__in=_deciding(), is_active=True, pk__in=phones.values("user"))
    return found.exclude(pk=user.pk)


def waits(user: User) -> bool:
    """True while a request to give `user` a role waits."""
    return Approval.objects.filter(kind=CODE, about=user, state=State.PENDING).exists()


def check_stranger(user: User, by: User) -> None:
    """Who set a password is not given the code as well: together they are the user. Raises Refused."""
    done = Record.objects.filter(resource=f"user/{user.pk}", actor=str(by.pk))
    if done.filter(action__in=["CREATE_USER", "admin.add", "admin.change"]).exists():
        raise Refused(
            text("%(by)s has made or changed this account, and may know its password: it takes somebody else")
            % {"by": by}
        )


def lock() -> None:
    """Of two who are the last to be made alone, the second finds that they are not."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('first staff'))")


def ask(*, user: User, role: str, institution: Institution | None, reason: str, by: User) -> Approval:
    """Ask for `user` to have that role in that institution (None: the platform). Raises ApprovalError."""
    payload = {
        "user": str(user.pk),
        "role": str(role),
        "institution": str(institution.pk) if institution else None,
    }
    stays = institution is not None and user.institution_id == institution.pk
    return request(
        CODE,
        institution=institution if stays else None,  # a move between institutions is the platform's affair
        subject=f"user/{user.pk} {role}",
        payload=payload,
        reason=reason,
        by=by,
        about=user,
    )


def check(payload: Payload) -> None:
    """Raises Refused."""
    user, role, institution = _read(payload)
    check_place(role, institution)
    if user.closed_at is not None:
        raise Refused(text("this account is closed"))
    if user.institution != institution and user.accounts.exists():
        raise Refused(
            text("this user has balances at their institution: a person who moves gets a new account")
        )
    if (user.role, user.institution) == (role, institution) and user.is_active and not user.is_superuser:
        raise Refused(text("that is what they are already"))


def check_place(role: str, institution: Institution | None) -> None:
    """Raises Refused for a role that there is not, or not there."""
    if role not in Role.values:
        raise Refused(text("there is no role %(role)s") % {"role": role})
    if role == Role.PLATFORM_ADMIN and institution is not None:
        raise Refused(text("a platform admin belongs to no institution"))
    if role in (Role.INSTITUTION_ADMIN, Role.TRADER) and institution is None:
        raise Refused(text("this role needs an institution"))


def apply(approval: Approval) -> str:
    user, role, institution = _read(approval.payload)
    user = User.objects.select_for_update().get(pk=user.pk)
    user.role, user.institution = role, institution
    user.is_superuser, user.is_active = False, True
    user.save(update_fields=["role", "institution", "is_superuser", "is_active"])
    staff_sessions.end_all(user)  # what they may see from now on begins with a new sign-in
    if user.is_staff and not second_factor.enrolled(user):
        by = approval.decided_by
        assert by is not None, "it is approved by somebody"
        check_stranger(user, by)
        approval.once = text("%(user)s enrols a phone with this code, which is shown only now: %(code)s") % {
            "user": user,
            "code": enrolment.issue(user, by=by),
        }
    return f"user/{user.pk}"


def describe(payload: Payload) -> list[tuple[str, str]]:
    user, role, institution = _read(payload)
    return [
        (text("user"), str(user)),
        (text("role"), str(Role(role).label)),
        (text("institution"), str(institution or text("the platform"))),
    ]


def changes(payload: Payload) -> list[FieldChange]:
    user, role, institution = _read(payload)
    found = []
    if user.role != role:
        found.append((text("role"), str(Role(user.role).label), str(Role(role).label)))
    if user.institution != institution:
        platform = text("the platform")
        found.append((text("institution"), str(user.institution or platform), str(institution or platform)))
    if not user.is_active:
        found.append((text("may sign in"), text("no"), text("yes")))
    return found


def _read(payload: Payload) -> tuple[User, str, Institution | None]:
    institution = payload["institution"]
    return (
        User.objects.select_related("institution").get(pk=payload["user"]),
        payload["role"],
        Institution.objects.get(pk=institution) if institution else None,
    )


KIND = ApprovalKind(
    code=CODE,
    label=_("role"),
    request_permission="users.role",
    approve_permission=PERMISSION,
    check=check,
    apply=apply,
    describe=describe,
    changes=changes,
    form="exchange.platform.approvals.role_form.RoleForm",
)
