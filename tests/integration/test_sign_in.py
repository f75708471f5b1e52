"""Signing in to the back office: password and code, the phone at the first time, lock-out, and the end of sessions."""

from __future__ import annotations

import re
from datetime import timedelta
from importlib import import_module
from io import StringIO
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.apps import apps
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from exchange.base.env import env
from exchange.celery import app
from exchange.platform.members import demo_mode, enrolment, second_factor, staff_login, staff_sessions
from exchange.platform.members.models import (
    Authenticator,
    DemoMark,
    Institution,
    KnownDevice,
    Role,
    StaffSession,
    User,
)
from tests.staff import PASSWORD, signed_in, staff, totp

pytestmark = pytest.mark.django_db

LOGIN, CODE, PHONE, INSIDE = "/admin/login/", "/admin/login/code/", "/admin/login/phone/", "/admin/sign-ins/"


@pytest.fixture
def bank() -> Institution:
    return Institution.objects.create(code="bank", name="Bank")


@pytest.fixture
def dealer(bank: Institution) -> User:
    return staff(Role.DEALER, bank, "dealer@bank.example")


def password(client: Client, email: str, word: str = PASSWORD) -> Any:
    return client.post(f"{LOGIN}?next={INSIDE}", {"username": email, "password": word})


def inside(client: Client) -> bool:
    answer = client.get(INSIDE)
    assert answer.status_code in (200, 302)
    return answer.status_code == 200


def test_without_a_phone_it_is_enrolled_and_the_code_signs_in(dealer: User) -> None:
    client = Client(HTTP_USER_AGENT="Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
    given = enrolment.issue(dealer)
    answer = password(client, " Dealer@Bank.Example ")
    assert answer["Location"].startswith(PHONE)
    assert "_auth_user_id" not in client.session, "the password alone signs nobody in"
    assert not inside(client)

    assert "enrolment code" in client.get(PHONE).content.decode()
    assert client.post(PHONE, {"code": given.lower().replace("-", " ")})["Location"].startswith(PHONE)
    page = client.get(PHONE).content.decode()
    device = Authenticator.objects.get(user=dealer)
    secret = re.search(r'id="phone-secret">([A-Z2-7 ]+)<', page)
    assert secret is not None and secret[1].replace(" ", "") == device.text_secret
    assert "<svg" in page and page.count("<path") >= 1
    assert client.get(PHONE).content.decode().count(secret[1]) == 1, "the same until it is confirmed"

    refused = client.post(PHONE, {"code": "000000" if device.next_code() != "000000" else "111111"})
    assert refused.status_code == 200 and not second_factor.enrolled(dealer)
    Authenticator.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    code = device.next_code()
    assert code is not None
    done = client.post(PHONE, {"code": f"{code[:3]} {code[3:]}", "next": INSIDE})
    assert done["Location"] == INSIDE and inside(client)
    assert second_factor.enrolled(dealer)
    session = StaffSession.objects.get(user=dealer)
    assert (session.device, session.address) == ("Firefox on Linux", "127.0.0.1")
    assert KnownDevice.objects.get(user=dealer).name == "Firefox on Linux"


def test_the_demo_can_be_entered_without_a_phone(dealer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/try_it.md says it: the command shows the code, from the first sign-in on."""
    monkeypatch.setattr(demo_mode, "env", env.model_copy(update={"exchange_demo": True}))
    DemoMark.objects.create()
    client = Client()
    assert password(client, dealer.email)["Location"].startswith(PHONE)
    assert client.get(PHONE).status_code == 200
    shown = StringIO()
    call_command("second_factor", dealer.email, "--show", stdout=shown)
    done = client.post(PHONE, {"code": shown.getvalue().strip(), "next": INSIDE})
    assert done["Location"] == INSIDE and inside(client)
    monkeypatch.setattr(demo_mode, "env", env.model_copy(update={"exchange_demo": False}))
    with pytest.raises(CommandError, match="demo mode"):
        call_command("second_factor", dealer.email, "--show")


def test_an_enrolment_code_that_is_wrong_old_or_used_shows_no_secret(dealer: User) -> None:
    client = Client()
    password(client, dealer.email)
    first = enrolment.issue(dealer)
    assert client.post(PHONE, {"code": first}).status_code == 302
    assert "phone-secret" in client.get(PHONE).content.decode()
    seen = Authenticator.objects.get(user=dealer).secret
    second = enrolment.issue(dealer)
    code = Authenticator(user=dealer, secret=seen).next_code()
    for wrong in (code, first, "AAAA-BBBB-CCCC-DDDD", "", "a" * 99):
        page = client.post(PHONE, {"code": wrong})
        assert page.status_code == 200 and "phone-secret" not in page.content.decode()
    assert not Authenticator.objects.exists(), "nor is the secret kept that somebody has seen"
    assert AccessAttempt.objects.get(username=dealer.email).failures_since_start == 2, (
        "those of a code's form"
    )
    client.post(PHONE, {"code": second})
    client.get(PHONE)
    device = Authenticator.objects.get(user=dealer)
    assert device.secret != seen
    assert client.post(PHONE, {"code": device.next_code()}).status_code == 302 and second_factor.enrolled(
        dealer
    )
    Authenticator.objects.all().delete()
    assert not enrolment.allows(dealer, enrolment.digest(second)), "it is used up"


def test_the_secret_is_sealed_in_the_database(dealer: User) -> None:
    totp(dealer)
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM members_authenticator")
        (stored,) = cursor.fetchone()
    secret = Authenticator.objects.get(user=dealer).secret
    assert len(bytes.fromhex(secret)) == 20
    assert secret not in stored and ":" in stored


def test_a_code_is_good_once_wherever_it_is_given(dealer: User) -> None:
    code = totp(dealer)
    assert second_factor.confirm(dealer, code)
    assert not second_factor.confirm(dealer, code), "used up in a shell"
    client = Client()
    password(client, dealer.email)
    Authenticator.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    answer = client.post(CODE, {"code": code})
    assert answer.status_code == 200 and "wrong, or was used before" in answer.content.decode()
    Authenticator.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    assert client.post(CODE, {"code": totp(dealer), "next": INSIDE})["Location"] == INSIDE


def test_wrong_codes_make_the_next_wait(dealer: User) -> None:
    code = totp(dealer)
    wrong = "000000" if code != "000000" else "111111"
    assert not second_factor.confirm(dealer, wrong)
    assert not second_factor.confirm(dealer, code), "within a second even the right one is not looked at"
    Authenticator.objects.update(throttling_failure_timestamp=timezone.now() - timedelta(seconds=2))
    assert second_factor.confirm(dealer, code)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12a456", "１２３４５６", " ", "-12345"])
def test_what_is_no_code_is_refused(dealer: User, code: str) -> None:
    totp(dealer)
    assert not second_factor.confirm(dealer, code)
    client = Client()
    password(client, dealer.email)
    assert client.post(CODE, {"code": code}).status_code == 200
    assert not inside(client)


def test_nothing_is_inside_without_the_code(dealer: User) -> None:
    totp(dealer)
    client = Client()
    assert client.get(CODE)["Location"].startswith(LOGIN), "no password was given"
    assert password(client, dealer.email)["Location"].startswith(CODE)
    for page in ("/admin/", "/admin/trading/order/", "/admin/autocomplete/", "/admin/search/?s=a", INSIDE):
        assert client.get(page)["Location"].startswith(LOGIN)
    assert client.get(PHONE)["Location"].startswith(CODE), "who has a phone is not shown another secret"
    forced = Client()
    forced.force_login(dealer, backend="exchange.platform.members.backends.RoleBackend")
    assert not inside(forced)


def test_the_password_waits_for_the_code_for_five_minutes(
    dealer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = totp(dealer)
    client = Client()
    password(client, dealer.email)
    monkeypatch.setattr(staff_login, "PATIENCE", timedelta(seconds=-1))
    assert client.post(CODE, {"code": code})["Location"].startswith(LOGIN)
    monkeypatch.undo()
    password(client, dealer.email)
    dealer.set_password("another-good-passphrase")
    dealer.save()
    assert client.post(CODE, {"code": code})["Location"].startswith(LOGIN), "the password is another now"


def test_traders_and_the_inactive_stay_outside(dealer: User, bank: Institution) -> None:
    User.objects.create_user("trader@bank.example", PASSWORD, institution=bank)
    dealer.is_active = False
    dealer.save()
    for email in ("trader@bank.example", dealer.email):
        client = Client()
        assert password(client, email).status_code == 200
        assert staff_login.PENDING not in client.session


def test_next_leads_to_our_own_pages_only(dealer: User) -> None:
    client = Client()
    client.post(f"{LOGIN}?next=https://evil.example/", {"username": dealer.email, "password": PASSWORD})
    answer = client.post(CODE, {"code": totp(dealer), "next": "//evil.example/"})
    assert answer["Location"] == "/admin/"


def test_wrong_passwords_and_codes_lock_out_by_user_and_address(dealer: User) -> None:
    limit = env.exchange_sign_in_failures
    client = Client()
    spellings = ["dealer@bank.example", "DEALER@bank.example "]
    for number in range(limit - 1):
        assert password(client, spellings[number % 2], "wrong").status_code == 200
    assert password(client, dealer.email)["Location"].startswith(PHONE), "one is left"
    answer = client.post(PHONE, {"code": "AAAA-BBBB-CCCC-DDDD"})
    assert answer.status_code == 429, "a wrong code counts too"
    assert 0 < int(answer["Retry-After"]) <= env.exchange_sign_in_cool_off_minutes * 60
    assert password(Client(), dealer.email).status_code == 429, "the right password is not looked at"
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    assert password(elsewhere, dealer.email)["Location"].startswith(PHONE), "nobody keeps others out"
    assert password(client, "other@bank.example", "wrong").status_code == 200
    stored = " ".join(str(row) for row in AccessAttempt.objects.values_list("get_data", "post_data"))
    assert "wrong" not in stored and "AAAA" not in stored and PASSWORD not in stored

    cooled = timezone.now() - timedelta(minutes=env.exchange_sign_in_cool_off_minutes, seconds=1)
    AccessAttempt.objects.update(attempt_time=cooled)
    Authenticator.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    assert password(client, dealer.email)["Location"].startswith(PHONE)
    assert client.post(PHONE, {"code": enrolment.issue(dealer)}).status_code == 302
    assert client.get(PHONE).status_code == 200
    assert client.post(PHONE, {"code": Authenticator.objects.get().next_code()}).status_code == 302
    assert not AccessAttempt.objects.filter(username=dealer.email, ip_address="127.0.0.1").exists(), (
        "forgiven"
    )


def test_the_api_says_locked_out_with_retry_after(bank: Institution) -> None:
    User.objects.create_user("trader@bank.example", PASSWORD, institution=bank)
    AccessAttempt.objects.create(
        username="trader@bank.example",
        ip_address="127.0.0.1",
        user_agent="another",
        failures_since_start=env.exchange_sign_in_failures,
    )
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=1))
    client = Client()

    def ask() -> Any:
        body = {"email": "Trader@bank.example", "password": PASSWORD}
        return client.post("/api/v1/auth/token", body, content_type="application/json")

    answer = ask()
    assert answer.status_code == 429 and answer.json()["code"] == "locked_out"
    left = env.exchange_sign_in_cool_off_minutes * 60 - 60
    assert left - 5 <= int(answer["Retry-After"]) <= left
    AccessAttempt.objects.update(failures_since_start=env.exchange_sign_in_failures - 1)
    assert ask().status_code == 200
    assert not AccessAttempt.objects.exists()


def test_an_api_request_asks_nothing_of_sessions_or_attempts(
    bank: Institution, django_assert_num_queries: Any
) -> None:
    User.objects.create_user("trader@bank.example", PASSWORD, institution=bank)
    client = Client()
    body = {"email": "trader@bank.example", "password": PASSWORD}
    token = client.post("/api/v1/auth/token", body, content_type="application/json").json()["access"]
    headers = {"Authorization": f"Bearer {token}"}
    client.get("/api/v1/balances", headers=headers)
    with django_assert_num_queries(1) as queries:  # its own
        assert client.get("/api/v1/balances", headers=headers).status_code == 200
    assert not [one for one in queries.captured_queries if "axes" in one["sql"] or "session" in one["sql"]]


# -- sessions


def test_a_session_ends_when_it_is_idle_or_old(dealer: User) -> None:
    for field, span in (
        ("seen_at", timedelta(minutes=env.exchange_staff_idle_minutes)),
        ("started_at", timedelta(hours=env.exchange_staff_hours)),
    ):
        client = signed_in(dealer)
        session = StaffSession.objects.get(user=dealer, ended_at=None)
        assert inside(client)
        moment = timezone.now() - span
        StaffSession.objects.filter(pk=session.pk).update(**{field: moment + timedelta(seconds=20)})
        assert inside(client), "not yet"
        StaffSession.objects.filter(pk=session.pk).update(**{field: moment - timedelta(seconds=1)})
        assert not inside(client)
        session.refresh_from_db()
        assert session.ending == ("IDLE" if field == "seen_at" else "TOO_OLD")
        assert "Your session has ended" in client.get(LOGIN).content.decode()
        assert "Your session has ended" not in client.get(LOGIN).content.decode(), "told once"


def test_a_click_keeps_a_session_alive(dealer: User) -> None:
    client = signed_in(dealer)
    StaffSession.objects.update(seen_at=timezone.now() - timedelta(minutes=1))
    assert inside(client)
    assert timezone.now() - StaffSession.objects.get().seen_at < timedelta(seconds=30)


def test_the_oldest_session_makes_room(dealer: User) -> None:
    clients = [signed_in(dealer) for _ in range(env.exchange_staff_sessions + 1)]
    assert [inside(client) for client in clients] == [False, *[True] * env.exchange_staff_sessions]
    assert StaffSession.objects.filter(ending="REPLACED").count() == 1


def test_signing_out_and_a_reset_phone_end_sessions(dealer: User) -> None:
    first, second, third = (signed_in(dealer) for _ in range(3))
    assert first.post("/admin/logout/").status_code == 200
    assert not inside(first) and inside(second)
    assert second.post("/admin/sign-ins/end/")["Location"] == INSIDE
    assert inside(second) and not inside(third)
    totp(dealer)
    second_factor.reset(dealer)
    assert not inside(second)


def test_sessions_that_are_over_are_forgotten(dealer: User) -> None:
    app.autodiscover_tasks(force=True)
    (entry,) = [each for each in app.conf.beat_schedule.values() if each["task"] == "members.forget_sessions"]
    clients = [signed_in(dealer) for _ in range(3)]
    rows = [client.session[staff_sessions.KEY] for client in clients]
    keys = [client.session.session_key for client in clients]
    for row, age in ((rows[0], staff_sessions.RECENT + timedelta(hours=1)), (rows[1], timedelta(days=80))):
        then = timezone.now() - age
        StaffSession.objects.filter(pk=row).update(started_at=then, ended_at=then, ending="IDLE")
    Session.objects.filter(pk__in=keys[:2]).update(expire_date=timezone.now())
    assert app.tasks[entry["task"]]() == 1
    assert set(StaffSession.objects.values_list("pk", flat=True)) == set(rows[1:])
    assert list(Session.objects.values_list("pk", flat=True)) == keys[2:]
    assert inside(clients[2])


def test_a_stolen_number_of_a_session_is_worth_nothing(dealer: User, bank: Institution) -> None:
    other = signed_in(staff(Role.SUPPORT, bank))
    signed_in(dealer)
    session = other.session
    session["staff_session"] = StaffSession.objects.get(user=dealer).pk
    session.save()
    assert not inside(other)


def test_a_new_password_of_ones_own_keeps_this_session_alone(dealer: User) -> None:
    here, there = signed_in(dealer), signed_in(dealer)
    words = {
        "old_password": PASSWORD,
        "new_password1": "quite-another-word",
        "new_password2": "quite-another-word",
    }
    assert here.post("/admin/password_change/", words).status_code == 302
    assert inside(here) and not inside(there)


def test_ones_own_sign_ins_are_listed_and_nobody_elses(dealer: User, bank: Institution) -> None:
    signed_in(staff(Role.SUPPORT, bank, "support@bank.example"))
    StaffSession.objects.update(address="198.51.100.9")
    page = signed_in(dealer).get(INSIDE).content.decode()
    assert "this one" in page and "198.51.100.9" not in page


def test_admins_see_and_end_the_sessions_of_their_staff(dealer: User, bank: Institution) -> None:
    client = signed_in(dealer)
    admin = signed_in(staff(Role.INSTITUTION_ADMIN, bank))
    page = admin.get("/admin/members/staffsession/").content.decode()
    assert dealer.email in page
    chosen = StaffSession.objects.get(user=dealer)
    action = {"action": "end", "_selected_action": [chosen.pk]}
    assert admin.post("/admin/members/staffsession/", action).status_code == 302
    assert not inside(client)
    assert signed_in(staff(Role.SUPPORT, bank)).get("/admin/members/staffsession/").status_code == 403


def test_pages_of_the_back_office_have_a_policy(dealer: User) -> None:
    for client, page in ((Client(), LOGIN), (signed_in(dealer), "/admin/"), (signed_in(dealer), INSIDE)):
        answer = client.get(page)
        assert answer.status_code == 200
        policy = answer["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
        assert not re.search(rb"<script(?![^>]*src=)(?![^>]*application/json)", answer.content)
    assert settings.SESSION_COOKIE_HTTPONLY
    secure = Client().get(LOGIN, secure=True)
    assert secure.status_code == 200


def test_a_session_of_before_the_backend_moved_goes_on(dealer: User) -> None:
    client = signed_in(dealer)
    session = client.session
    moved = import_module("exchange.platform.members.migrations.0008_moved_backend")
    session[BACKEND_SESSION_KEY] = moved.BEFORE
    session.save()
    assert client.get("/admin/").status_code == 302, "the old name says nothing"
    moved.rename(apps, moved.BEFORE, moved.NOW)
    assert client.get("/admin/").status_code == 200
