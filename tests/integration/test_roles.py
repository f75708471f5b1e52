"""Roles: what the table says holds, the database keeps role and staff together, and the page in docs is fresh."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from exchange.embedded.stack import PROJECT
from exchange.platform.members import enrolment, roles_page, second_factor
from exchange.platform.members.models import Institution, Role, User
from exchange.platform.members.roles import GRANTS, PLATFORM_ONLY, granted
from tests.staff import staff, totp

pytestmark = pytest.mark.django_db


@pytest.fixture
def bank() -> Institution:
    return Institution.objects.create(code="bank", name="Bank")


@pytest.mark.parametrize("role", [role for role in Role if role != Role.TRADER])
def test_has_perm_is_the_table(role: Role, bank: Institution) -> None:
    everything = frozenset().union(*GRANTS.values())
    if role != Role.PLATFORM_ADMIN:
        user = staff(role, bank)
        assert user.is_staff
        assert {name for name in everything if user.has_perm(name)} == GRANTS[role] - PLATFORM_ONLY
    if role != Role.INSTITUTION_ADMIN:
        assert staff(role).get_all_permissions() == GRANTS[role]


def test_who_is_not_active_or_not_of_the_staff_may_nothing(bank: Institution) -> None:
    gone = staff(Role.PLATFORM_ADMIN)
    gone.is_active = False
    assert not gone.has_perm("trading.view_order")
    trader = User.objects.create_user("trader@bank.example", institution=bank)
    assert trader.get_all_permissions() == set() and not trader.has_module_perms("trading")
    assert not granted("NO_SUCH_ROLE", platform=True)


def test_an_auditor_and_support_change_no_money_and_nobodys_rights() -> None:
    assert {name for name in GRANTS[Role.AUDITOR] if ".view_" not in name} == {"audit.view", "data.export"}
    for name in ("adjustments.request", "payments.decide", "users.role", "orders.cancel", "data.export"):
        assert name not in GRANTS[Role.SUPPORT]


@pytest.mark.parametrize("role", [Role.DEALER, Role.COMPLIANCE, Role.AUDITOR, Role.SUPPORT])
def test_only_admins_approve_roles(role: Role) -> None:
    assert "roles.approve" not in GRANTS[role] and "users.role" not in GRANTS[role]


def test_the_database_keeps_role_and_staff_together(bank: Institution) -> None:
    user = User.objects.create_user("somebody@bank.example", institution=bank)
    wrong: list[dict[str, object]] = [
        {"is_staff": True},
        {"role": Role.DEALER},
        {"is_superuser": True},
        {"role": Role.PLATFORM_ADMIN, "is_staff": True},  # has an institution
        {"role": Role.INSTITUTION_ADMIN, "is_staff": True, "institution": None},
    ]
    for change in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.filter(pk=user.pk).update(**change)
    user.role = Role.DEALER
    user.save(update_fields=["role"])
    user.refresh_from_db()
    assert user.is_staff
    user.role, user.is_staff = Role.TRADER, True
    user.save()
    assert not User.objects.get(pk=user.pk).is_staff


def test_the_page_of_roles_is_fresh_and_tells_every_permission() -> None:
    """`manage.py roles > docs/roles.md`"""
    printed = StringIO()
    call_command("roles", stdout=printed)
    assert (PROJECT / Path("docs/roles.md")).read_text() == printed.getvalue()
    everything = frozenset().union(*GRANTS.values())
    actions = {name for name in everything if not name.partition(".")[2].startswith(tuple(_verbs()))}
    assert actions == set(roles_page.ACTIONS)
    assert everything >= PLATFORM_ONLY
    as_json = StringIO()
    call_command("roles", "--json", stdout=as_json)
    assert {role: frozenset(names) for role, names in json.loads(as_json.getvalue()).items()} == GRANTS


def _verbs() -> list[str]:
    return [f"{verb}_" for verb in roles_page.VERBS]


def test_a_lost_phone_is_forgotten_from_the_shell(bank: Institution) -> None:
    """Where nobody else could stand for its owner."""
    user = staff(Role.DEALER, bank)
    with pytest.raises(SystemExit, match="1"):
        call_command("second_factor", user.email, stdout=StringIO())
    assert second_factor.confirm(user, totp(user))
    said = StringIO()
    call_command("second_factor", user.email, "--reset", "--dry-run", "--json", stdout=said)
    assert json.loads(said.getvalue())["enrolled"]
    said = StringIO()
    call_command("second_factor", user.email, "--reset", stdout=said)
    assert not second_factor.enrolled(user)
    assert enrolment.allows(user, enrolment.digest(said.getvalue().rpartition(": ")[2]))
    call_command(
        "second_factor", user.email, "--reset", stdout=said
    )  # who has neither phone nor code gets one
    assert "had no phone" in said.getvalue() and said.getvalue().count("enrolment code: ") == 2
    for arguments in (["nobody@bank.example"], [user.email, "--show"]):  # the second: not in demo mode
        with pytest.raises(CommandError) as error:
            call_command("second_factor", *arguments)
        assert error.value.returncode == 2
