"""What one person tries so as to be two: as a newcomer whose password they set, with a lost phone, from the shell."""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from exchange.platform.approvals import requests, roles
from exchange.platform.approvals.models import Approval
from exchange.platform.audit.models import Record
from exchange.platform.members import enrolment, second_factor
from exchange.platform.members.models import Authenticator, Institution, Role, User
from tests.staff import PASSWORD, signed_in, staff, totp

pytestmark = pytest.mark.django_db

LOGIN, PHONE = "/admin/login/", "/admin/login/phone/"
GHOST = "ghost@bank.example"
CODE = re.compile(r"[A-Z2-7]{4}(?:-[A-Z2-7]{4}){3}")


@pytest.fixture
def bank() -> Institution:
    return Institution.objects.create(code="bank", name="Bank")


@pytest.fixture
def anna(bank: Institution) -> User:
    """Asks."""
    return staff(Role.INSTITUTION_ADMIN, bank, "anna@bank.example")


@pytest.fixture
def ben(bank: Institution) -> User:
    """Approves."""
    return staff(Role.INSTITUTION_ADMIN, bank, "ben@bank.example")


def add_user(by: User) -> User:
    """In the back office, with a password that `by` chooses."""
    fields = {"email": GHOST, "usable_password": "true", "institution": str(by.institution_id)}
    fields |= {"password1": PASSWORD, "password2": PASSWORD}
    assert signed_in(by).post(reverse("admin:members_user_add"), fields).status_code == 302
    return User.objects.get(email=GHOST)


def set_password(whom: User, by: User, word: str = "chosen-by-somebody-else") -> int:
    fields = {"usable_password": "true", "password1": word, "password2": word}
    page = reverse("admin:auth_user_password_change", args=[whom.pk])
    return signed_in(by).post(page, fields).status_code


def ask(user: User, by: User, role: Role = Role.DEALER) -> Approval:
    return roles.ask(user=user, role=role, institution=user.institution, reason="joins us", by=by)


def decide(approval: Approval, by: User) -> str:
    """The page that the decision leads to."""
    address = reverse("admin:approvals_approval_decide", args=[approval.pk, "approve"])
    return signed_in(by).post(address, {"reason": "welcome"}, follow=True).content.decode()


def with_password(email: str, word: str = PASSWORD) -> Client:
    client = Client()
    assert client.post(LOGIN, {"username": email, "password": word})["Location"].startswith(PHONE)
    return client


def shows_secret(client: Client) -> bool:
    return "phone-secret" in client.get(PHONE).content.decode()


def run(*arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command(*arguments, "--json", stdout=out)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def test_who_adds_a_colleague_is_not_the_colleague(bank: Institution, anna: User, ben: User) -> None:
    ghost = add_user(anna)
    approval = ask(ghost, anna)
    (code,) = CODE.findall(decide(approval, ben))
    change = reverse("admin:approvals_approval_change", args=[approval.pk])
    for reader in (ben, anna):
        assert not CODE.search(signed_in(reader).get(change).content.decode()), "shown once"
    assert code not in str(Record.objects.values_list("old", "new")) + str(Approval.objects.values())

    hers = with_password(GHOST)
    assert not shows_secret(hers)
    assert hers.post(PHONE, {"code": totp_of_nothing()}).status_code == 200 and not shows_secret(hers)
    assert not Authenticator.objects.filter(user=ghost).exists()

    theirs = with_password(GHOST)
    theirs.post(PHONE, {"code": code})
    assert shows_secret(theirs)
    given = Authenticator.objects.get(user=ghost).next_code()
    assert theirs.post(PHONE, {"code": given, "next": "/admin/"})["Location"] == "/admin/"
    assert second_factor.enrolled(ghost)


def totp_of_nothing() -> str:
    """What a phone of her own would show."""
    return str(Authenticator().next_code())


def test_who_set_the_password_does_not_get_the_code(bank: Institution, anna: User, ben: User) -> None:
    approval = ask(add_user(anna), anna)
    assert set_password(approval.about, ben) == 302, "a trader's still"
    assert not CODE.search(decide(approval, ben))
    approval.refresh_from_db()
    assert approval.state == "PENDING"
    with pytest.raises(requests.Refused, match="may know its password"):
        requests.approve(approval.pk, by=ben, reason="mine")
    assert not User.objects.get(email=GHOST).is_staff
    assert requests.approve(approval.pk, by=staff(Role.INSTITUTION_ADMIN, bank), reason="seen them").once


def test_a_code_from_the_shell_goes_to_the_approver_too(bank: Institution, anna: User, ben: User) -> None:
    arguments = ["--role", "DEALER", "--institution", "bank", "--reason", "joins us"]
    made = run("create_user", GHOST, *arguments, "--by", anna.email, "--code", totp(anna))
    assert "enrolment_code" not in made
    ghost = User.objects.get(email=GHOST)
    (code,) = CODE.findall(requests.approve(made["approval"], by=ben, reason="welcome").once)
    assert not shows_secret(with_password(GHOST, made["password"]))
    with pytest.raises(CommandError, match="--by and --code"):
        run("second_factor", GHOST, "--reset")
    with pytest.raises(CommandError, match="may know its password") as raised:
        run("second_factor", GHOST, "--reset", "--by", anna.email, "--code", totp(anna))
    assert raised.value.returncode == 1
    assert enrolment.allows(ghost, enrolment.digest(code)), "still the one that ben was shown"


def test_somebody_else_stands_for_who_lost_a_phone(bank: Institution, anna: User, ben: User) -> None:
    dealer = staff(Role.DEALER, bank, "dealer@bank.example")
    other = staff(Role.INSTITUTION_ADMIN, Institution.objects.create(code="other", name="Other"))
    totp(dealer)
    totp(anna)
    for by in (dealer, other, staff(Role.COMPLIANCE, bank)):
        with pytest.raises(CommandError, match="somebody else, who approves roles") as raised:
            run("second_factor", dealer.email, "--reset", "--by", by.email, "--code", totp(by))
        assert raised.value.returncode == 2
    assert second_factor.enrolled(dealer)
    done = run("second_factor", dealer.email, "--reset", "--by", anna.email, "--code", totp(anna))
    assert not second_factor.enrolled(dealer)
    told = Record.objects.filter(resource=f"user/{dealer.pk}", actor=str(anna.pk)).order_by("pk")
    assert [each.action for each in told] == ["SECOND_FACTOR_RESET", "ENROLMENT_CODE"]
    client = with_password(dealer.email)
    assert not shows_secret(client)
    client.post(PHONE, {"code": done["enrolment_code"]})
    assert shows_secret(client)


def test_who_has_just_set_a_password_stands_for_nobody(bank: Institution, anna: User, ben: User) -> None:
    dealer = staff(Role.DEALER, bank, "dealer@bank.example")
    totp(dealer)
    assert set_password(dealer, anna) == 302, "who may more"
    with pytest.raises(CommandError, match="may know its password"):
        run("second_factor", dealer.email, "--reset", "--by", anna.email, "--code", totp(anna))
    assert run("second_factor", dealer.email, "--reset", "--by", ben.email, "--code", totp(ben))["reset"]


def test_the_first_two_are_given_their_codes_with_the_password() -> None:
    for email in ("first@staff.example", "second@staff.example"):
        made = run("create_user", email, "--role", "PLATFORM_ADMIN")
        client = with_password(email, made["password"])
        client.post(PHONE, {"code": made["enrolment_code"]})
        assert shows_secret(client)


def test_a_password_of_the_staff_is_not_changed_from_the_shell(
    bank: Institution, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getpass", lambda prompt: "a-word-of-the-shells-own")
    trader = User.objects.create_user("trader@bank.example", PASSWORD, institution=bank)
    call_command("changepassword", "Trader@bank.example", stdout=StringIO())
    trader.refresh_from_db()
    assert trader.check_password("a-word-of-the-shells-own")
    ask(trader, anna)
    for user in (anna, trader):  # the second is to be of the staff
        before = user.password
        with pytest.raises(CommandError, match="in the back office") as raised:
            call_command("changepassword", user.email)
        user.refresh_from_db()
        assert raised.value.returncode == 2 and user.password == before


def test_rows_are_neither_loaded_nor_dumped_past_the_checks(anna: User, tmp_path: Any) -> None:
    role = {
        "model": "members.user",
        "pk": str(anna.pk),
        "fields": {"email": anna.email, "is_superuser": True},
    }
    (file := tmp_path / "role.json").write_text(json.dumps([role]))
    totp(anna)
    for command in (["loaddata", str(file)], ["dumpdata", "members.authenticator"]):
        out = StringIO()
        with pytest.raises(CommandError) as raised:
            call_command(*command, stdout=out)
        assert raised.value.returncode == 2 and not out.getvalue()
    anna.refresh_from_db()
    assert not anna.is_superuser
