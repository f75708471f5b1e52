"""Personal data: sealed in the database, sealed again under another key, decided about, and erased where the
records stay."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import threading
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.apps import apps
from django.core.exceptions import FieldError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection
from django.urls import reverse
from pytest_django import DjangoDbBlocker

from exchange.base import encryption, key_rotation
from exchange.base.encryption import Unreadable
from exchange.base.env import Environment, data_keys, env
from exchange.platform.audit.models import Record
from exchange.platform.kyc import decisions as kyc
from exchange.platform.kyc import selectors
from exchange.platform.kyc.models import KycDocument, KycProfile
from exchange.platform.members import personal_data
from exchange.platform.members.models import Institution, KnownDevice, PersonKey, Role, User
from exchange.platform.notifications import preferences
from exchange.platform.notifications.models import UserContact
from tests.market import Desk, lasting_desk, sql
from tests.staff import signed_in, staff
from trading.models import Order, Posting, Withdrawal
from trading.payments import decisions, requests
from trading.payments.requests import Wanted
from trading.retention import erasure

_names = itertools.count(1)
PHONE = "+905551112233"
NUMBER = "10000000146"
PLACE = "table.column"


def key(name: str) -> str:
    return f"{name}:{base64.b64encode(os.urandom(32)).decode()}"


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Desk]:
    """In place of the one that rolls back: all tests here share what is committed."""
    with lasting_desk(django_db_blocker) as desk:
        yield desk


@pytest.fixture(scope="module")
def desk(db: Desk) -> Desk:
    return db


@pytest.fixture
def officer(desk: Desk) -> User:
    return staff(Role.COMPLIANCE, desk.institution)


@pytest.fixture
def user(desk: Desk) -> User:
    return User.objects.get(pk=desk.user())


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Sets EXCHANGE_DATA_KEYS."""

    def given(*names: str) -> None:
        monkeypatch.setattr(encryption, "env", env.model_copy(update={"exchange_data_keys": ",".join(names)}))
        encryption.clear_cache()

    yield given
    monkeypatch.undo()
    encryption.clear_cache()


def stored(table: str, column: str, user: User) -> str:
    ((text,),) = sql(f"SELECT {column} FROM {table} WHERE user_id = %s", user.pk)
    return str(text)


# Sealing


def test_what_is_sealed_opens_in_its_place_alone() -> None:
    first, second = encryption.seal("çok gizli", PLACE), encryption.seal("çok gizli", PLACE)
    assert first != second, "equal values must not look equal"
    assert "gizli" not in first
    assert encryption.unseal(first, PLACE) == "çok gizli"
    changed = first[:-4] + ("AAAA" if first[-4:] != "AAAA" else "BBBB")
    for broken, place in ((first, "table.other"), (changed, PLACE), ("local:!", PLACE), ("local:", PLACE)):
        with pytest.raises(Unreadable, match=place):
            encryption.unseal(broken, place)
    with pytest.raises(Unreadable, match="EXCHANGE_DATA_KEYS does not have"):
        encryption.unseal("gone:AAAA", PLACE)
    assert encryption.seal("", PLACE) == encryption.unseal("", PLACE) == ""


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("abc", "name:base64"),
        ("a b:AAAA", "name:base64"),
        ("a:???", "not base64"),
        ("a:AAAA", "must be 32 bytes, not 3"),
        (f"{key('local')}", "is taken"),
        (f"{key('a')},{key('a')}", "is taken"),
    ],
    ids=["no name", "a bad name", "no base64", "too short", "our own name", "twice"],
)
def test_wrong_keys_are_told_and_not_shown(given: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        data_keys(given)
    assert given.partition(":")[2][:20] not in str(caught.value) or len(given) < 12
    with pytest.raises(ValueError, match="exchange_data_keys"):
        Environment(exchange_data_keys=given)  # type: ignore[call-arg]


def test_a_column_is_plain_in_python_and_sealed_in_the_database(user: User) -> None:
    preferences.write(str(user.pk), preferences.Preferences("", PHONE, {}))
    assert preferences.read(str(user.pk)).phone == PHONE
    text = stored("notifications_usercontact", "phone", user)
    assert text.startswith("local:")
    assert "555" not in text
    for lookup in ({"phone": PHONE}, {"phone__contains": "5"}, {"phone__in": [PHONE]}):
        with pytest.raises(FieldError, match="cannot be searched"):
            UserContact.objects.filter(**lookup).exists()
    other = UserContact.objects.create(user=User.objects.create_user("x@test.exchange"))
    sql("UPDATE notifications_usercontact SET phone = %s WHERE user_id = %s", text, other.pk)
    assert UserContact.objects.get(pk=other.pk).phone == PHONE, (
        "places are columns: rows are told by what they say"
    )


def test_phones_of_before_are_sealed_by_the_migration(user: User) -> None:
    module = import_module("exchange.platform.notifications.migrations.0002_sealed_phone")
    UserContact.objects.all().delete()
    UserContact.objects.create(user=user)
    sql("UPDATE notifications_usercontact SET phone = '+4915112345678' WHERE user_id = %s", user.pk)

    class Editor:
        connection = connection

    module.sealed(apps, Editor)
    assert stored("notifications_usercontact", "phone", user).startswith("local:")
    assert UserContact.objects.get(pk=user.pk).phone == "+4915112345678"
    module.plain(apps, Editor)
    assert stored("notifications_usercontact", "phone", user) == "+4915112345678"
    module.sealed(apps, Editor)


# Rotation


def run(command: str, *arguments: str) -> tuple[int, Any]:
    out, progress = io.StringIO(), io.StringIO()
    try:
        call_command(command, *arguments, "--json", stdout=out, stderr=progress)
        code = 0
    except SystemExit as end:
        code = int(str(end.code))
    return code, json.loads(out.getvalue())


def column(document: Any, place: str) -> Any:
    (found,) = [each for each in document["columns"] if each["place"] == place]
    return found


def test_every_sealed_column_is_known_to_rotation() -> None:
    places = {each.place for each in key_rotation.columns()}
    assert {
        "notifications_usercontact.phone",
        "kyc_kycprofile.name",
        "kyc_kycprofile.birth_date",
        "kyc_kycprofile.identity_number",
        "kyc_kycdocument.reference",
        "members_personkey.secret",
    } <= places


def test_all_is_sealed_anew_and_the_old_key_can_go(
    desk: Desk, officer: User, user: User, keys: Callable[..., None]
) -> None:
    old, new = key("2025"), key("2026")
    keys(old)
    preferences.write(str(user.pk), preferences.Preferences("", PHONE, {}))
    kyc.identify(
        user, name="Ada", birth_date=date(1990, 1, 2), identity_number=NUMBER, by=officer, trace_id="t"
    )
    destination = personal_data.seal(user.pk, "TR33", "somewhere")
    keys(new, old)
    assert UserContact.objects.get(pk=user.pk).phone == PHONE, "all keys read"
    assert selectors.with_identity(NUMBER, desk.institution.pk) == user, "and find"
    code, document = run("rotate_keys", "--dry-run")
    assert code == 0
    assert column(document, "kyc_kycprofile.name")["old"] == 1
    assert stored("kyc_kycprofile", "name", user).startswith("2025:"), "a dry run writes nothing"
    code, document = run("rotate_keys")
    assert (code, document["key"]) == (0, "2026")
    for table, name in (
        ("notifications_usercontact", "phone"),
        ("kyc_kycprofile", "name"),
        ("kyc_kycprofile", "identity_number"),
        ("kyc_kycprofile", "identity_digest"),
        ("members_personkey", "secret"),
    ):
        assert stored(table, name, user).startswith("2026:"), f"{table}.{name}"
    keys(new)
    profile = KycProfile.objects.get(pk=user.pk)
    assert (profile.name, profile.birth_date, profile.identity_number) == ("Ada", "1990-01-02", NUMBER)
    assert selectors.with_identity(NUMBER, desk.institution.pk) == user
    assert personal_data.unseal(user.pk, destination, "somewhere") == "TR33"
    code, document = run("rotate_keys")
    assert [each["old"] for each in document["columns"]] == [0] * len(document["columns"])
    KycProfile.objects.filter(pk=user.pk).delete()
    keys(old, new)
    run("rotate_keys")
    keys(old)
    UserContact.objects.filter(pk=user.pk).delete()
    PersonKey.objects.all().delete()


def test_what_does_not_open_is_named_and_holds_nothing_up(user: User, keys: Callable[..., None]) -> None:
    UserContact.objects.filter().delete()
    keys(key("lost"))
    UserContact.objects.create(user=user, phone=PHONE)
    keys()
    other = User.objects.create_user(f"other{next(_names)}@test.exchange")
    UserContact.objects.create(user=other, phone=PHONE)
    keys(key("new"))
    code, document = run("rotate_keys")
    found = column(document, "notifications_usercontact.phone")
    assert (code, found["old"], found["unreadable"]) == (1, 2, 1)
    assert str(user.pk) in found["first_unreadable"]
    assert PHONE not in json.dumps(document)
    assert stored("notifications_usercontact", "phone", other).startswith("new:")
    UserContact.objects.all().delete()


def test_a_rotation_that_is_killed_goes_on(
    user: User, keys: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    UserContact.objects.all().delete()
    for _ in range(5):
        member = User.objects.create_user(f"many{next(_names)}@test.exchange")
        UserContact.objects.create(user=member, phone=PHONE)
    keys(key("next"))
    monkeypatch.setattr(key_rotation, "BATCH", 2)
    real, calls = key_rotation._write, itertools.count(1)

    def dies(*given: Any) -> None:
        if next(calls) == 4:
            raise KeyboardInterrupt
        real(*given)

    monkeypatch.setattr(key_rotation, "_write", dies)
    with pytest.raises(KeyboardInterrupt):
        run("rotate_keys")
    count = "SELECT count(*) FROM notifications_usercontact WHERE phone LIKE 'next:%%'"
    assert sql(count) == [(2,)], "whole batches stay"
    monkeypatch.setattr(key_rotation, "_write", real)
    code, document = run("rotate_keys")
    assert (code, column(document, "notifications_usercontact.phone")["old"]) == (0, 3)
    assert sql(count) == [(5,)]
    UserContact.objects.all().delete()


def test_a_value_that_is_written_meanwhile_is_not_lost(user: User, keys: Callable[..., None]) -> None:
    UserContact.objects.all().delete()
    UserContact.objects.create(user=user, phone=PHONE)
    keys(key("later"))
    (wanted,) = [each for each in key_rotation.columns() if each.place == "notifications_usercontact.phone"]
    ((pk, text),) = key_rotation._batch(wanted, None)
    UserContact.objects.update(phone="+4915112345678")
    key_rotation._write(wanted, pk, text, PHONE)
    assert UserContact.objects.get(pk=user.pk).phone == "+4915112345678"
    UserContact.objects.all().delete()


# KYC


def test_who_somebody_is_is_known_once(desk: Desk, officer: User, user: User) -> None:
    kyc.identify(user, name="Ada", birth_date=None, identity_number="100 000-00146", by=officer, trace_id="t")
    other = User.objects.get(pk=desk.user())
    with pytest.raises(kyc.Refused, match="Another user"):
        kyc.identify(other, name="Eve", birth_date=None, identity_number=NUMBER, by=officer, trace_id="t")
    digest = KycProfile.objects.get(pk=user.pk).identity_digest
    with pytest.raises(IntegrityError, match="kyc_identity_once"):
        KycProfile.objects.create(user=other, institution=desk.institution, level=1, identity_digest=digest)
    assert NUMBER not in digest
    told = json.dumps(list(Record.objects.filter(resource=f"user/{user.pk}").values_list("old", "new")))
    assert "Ada" not in told
    assert NUMBER not in told
    KycProfile.objects.filter(pk=user.pk).delete()


def test_who_may_decide_about_whom(desk: Desk, officer: User, user: User) -> None:
    bank = Institution.objects.create(code=f"bank{next(_names)}", name="Bank")
    for by, says in (
        (staff(Role.COMPLIANCE, bank), "another institution"),
        (staff(Role.DEALER, desk.institution), "permission"),
        (user, "themselves"),
    ):
        with pytest.raises(kyc.Refused, match=says):
            kyc.set_level(user, level=3, state="VERIFIED", reason="x", by=by, trace_id="t")
    for level, state, reason in ((4, "VERIFIED", "x"), (2, "ERASED", "x"), (2, "VERIFIED", " ")):
        with pytest.raises(kyc.Refused):
            kyc.set_level(user, level=level, state=state, reason=reason, by=officer, trace_id="t")
    assert not KycProfile.objects.filter(user=user).exists()


def test_a_document_goes_its_way(officer: User, user: User) -> None:
    asked = kyc.ask_document(user, kind="IDENTITY", by=officer, trace_id="t")
    with pytest.raises(kyc.Refused, match="asked for"):
        kyc.decide_document(asked, state="ACCEPTED", by=officer, trace_id="t")
    kyc.decide_document(asked, state="RECEIVED", reference="vault/7", by=officer, trace_id="t")
    kyc.decide_document(asked, state="ACCEPTED", expires_on=date(2020, 1, 1), by=officer, trace_id="t")
    row = KycDocument.objects.get(pk=asked.pk)
    assert (row.state, row.reference, selectors.has_expired(row)) == ("ACCEPTED", "vault/7", True)
    with pytest.raises(kyc.Refused, match="reason"):
        kyc.decide_document(asked, state="REJECTED", by=officer, trace_id="t")
    kyc.decide_document(asked, state="REJECTED", reason="a forgery", by=officer, trace_id="t")


def test_the_pages_of_kyc(desk: Desk, officer: User, user: User) -> None:
    client = signed_in(officer)
    added = client.post(reverse("admin:kyc_kycprofile_add"), {"user": str(user.pk)})
    assert added.status_code == 302, added.content
    page = reverse("admin:kyc_kycprofile_change", args=[user.pk])

    def press(verb: str, **given: str) -> None:
        client.post(
            reverse("admin:kyc_kycprofile_do", args=[user.pk, verb]),
            {f"{verb}-{name}": text for name, text in given.items()},
        )

    press("identify", name="Ada Lovelace", birth_date="1990-01-02", identity_number=NUMBER)
    press("level", level="2", state="VERIFIED", reason="seen the passport")
    press("document", kind="ADDRESS")
    profile = KycProfile.objects.get(pk=user.pk)
    assert (profile.level, profile.state, profile.name) == (2, "VERIFIED", "Ada Lovelace")
    seen = client.get(page)
    assert "Ada Lovelace" in seen.content.decode()
    offered = {verb["name"]: verb["fields"] for verb in seen.context["row_actions"]}
    stands = {field.name: field.value() for name in ("level", "identify") for field in offered[name]}
    assert stands == {
        "level": 2,
        "state": "VERIFIED",
        "reason": None,
        "name": "Ada Lovelace",
        "birth_date": "1990-01-02",
        "identity_number": NUMBER,
    }
    assert '<option value="2" selected>' in seen.content.decode()
    press("level", reason="a click", **{name: str(stands[name]) for name in ("level", "state")})
    profile.refresh_from_db()
    assert (profile.level, profile.state) == (2, "VERIFIED")
    listed = reverse("admin:kyc_kycprofile_changelist")
    assert user.email in client.get(listed, {"q": NUMBER}).content.decode()
    assert user.email not in client.get(listed, {"q": "10000000147"}).content.decode()
    document = KycDocument.objects.get(user=user)
    client.post(
        reverse("admin:kyc_kycdocument_do", args=[document.pk, "received"]), {"received-reference": "vault/8"}
    )
    document.refresh_from_db()
    assert document.state == "RECEIVED"
    decided = client.get(reverse("admin:kyc_kycdocument_change", args=[document.pk])).context["row_actions"]
    assert [verb["name"] for verb in decided] == ["accepted", "rejected"]
    stranger = signed_in(staff(Role.COMPLIANCE, Institution.objects.create(code="far", name="Far")))
    assert "Ada" not in stranger.get(page, follow=True).content.decode()
    assert stranger.post(reverse("admin:kyc_kycprofile_do", args=[user.pk, "level"]), {}).status_code == 404
    looker = signed_in(staff(Role.AUDITOR, desk.institution))
    looker.post(
        reverse("admin:kyc_kycprofile_do", args=[user.pk, "level"]),
        {"level-level": "3", "level-state": "VERIFIED", "level-reason": "x"},
    )
    profile.refresh_from_db()
    assert profile.level == 2
    KycProfile.objects.filter(pk=user.pk).delete()


# Erasure


def lived(desk: Desk, officer: User) -> User:
    """A user who traded, withdrew all, and left traces everywhere."""
    user = User.objects.get(pk=desk.user(USDT="100"))
    other = desk.user(BTC="1")
    desk.trade(other, "SELL", "1", "40")
    desk.trade(str(user.pk), "BUY", "1", "40")
    desk.trade(str(user.pk), "SELL", "0.998", "40")
    desk.trade(desk.user(USDT="100"), "BUY", "0.998", "40")
    UserContact.objects.update_or_create(user=user, defaults={"phone": PHONE})
    KnownDevice.objects.create(
        user=user,
        fingerprint="f",
        name="Firefox",
        first_seen_at="2026-01-01T00:00Z",
        last_seen_at="2026-01-01T00:00Z",
    )
    AccessAttempt.objects.create(
        username=user.email, ip_address="192.0.2.1", user_agent="x", failures_since_start=1
    )
    kyc.identify(user, name="Ada Lovelace", birth_date=None, identity_number=NUMBER, by=officer, trace_id="t")
    kyc.ask_document(user, kind="IDENTITY", by=officer, trace_id="t")
    clerk = staff(Role.INSTITUTION_ADMIN, desk.institution)
    for asset in ("USDT", "BTC"):
        available = desk.balance(str(user.pk), asset)[0]
        if available:
            asked, _ = requests.withdraw(
                Wanted(str(user.pk), desk.assets[asset], available, "TR33 0006", f"all-{asset}"), trace_id="t"
            )
            decisions.approve(asked.pk, by=clerk, trace_id="t")
            decisions.send(asked.pk, by=clerk, reference="S", trace_id="t")
            decisions.complete(asked.pk, by=clerk, trace_id="t")
    return user


def test_erasing_leaves_the_records_and_no_person(desk: Desk, officer: User) -> None:
    user = lived(desk, officer)
    email = user.email
    before = (
        Order.objects.filter(user=user).count(),
        Posting.objects.filter(account__user=user).count(),
        list(Withdrawal.objects.filter(user=user).values_list("party", flat=True)),
    )
    code, document = run("erase", email, "--reason", "asked for it", "--dry-run")
    assert (code, document["erased"], document["rows"]["devices"]) == (0, False, 1)
    assert User.objects.get(pk=user.pk).email == email
    code, document = run("erase", email.upper(), "--reason", "asked for it")
    assert (code, document["erased"]) == (0, True)
    user.refresh_from_db()
    assert (user.email, user.is_active, user.closed_at is not None) == (
        f"{user.pk}@erased.invalid",
        False,
        True,
    )
    assert not user.has_usable_password()
    after = (
        Order.objects.filter(user=user).count(),
        Posting.objects.filter(account__user=user).count(),
        list(Withdrawal.objects.filter(user=user).values_list("party", flat=True)),
    )
    assert before == after, "records stay, byte by byte"
    row = Withdrawal.objects.filter(user=user)[0]
    assert personal_data.unseal(user.pk, row.party, row.place) == personal_data.ERASED
    profile = KycProfile.objects.get(user=user)
    assert (profile.name, profile.identity_number, profile.identity_digest, profile.state) == (
        "",
        "",
        "",
        "ERASED",
    )
    assert everywhere(email, "Ada Lovelace", "TR33 0006") == []
    record = Record.objects.get(action="ERASE_USER", resource=f"user/{user.pk}")
    assert email not in record.new
    with pytest.raises(IntegrityError, match="user_closed_for_good"):
        User.objects.filter(pk=user.pk).update(is_active=True)
    code, document = run("erase", user.email, "--reason", "again")
    assert (code, "erased already" in document["refused"][0]) == (1, True)


def test_a_closed_account_keeps_its_data_until_it_is_erased(desk: Desk, user: User) -> None:
    UserContact.objects.create(user=user, phone=PHONE)
    code, document = run("erase", user.email, "--reason", "left us", "--close-only")
    assert (code, document["closed"]) == (0, True)
    user.refresh_from_db()
    closed_at = user.closed_at
    assert (user.is_active, closed_at is not None) == (False, True)
    assert UserContact.objects.get(user=user).phone == PHONE
    code, document = run("erase", user.email, "--reason", "left us", "--close-only")
    assert (code, "closed at" in document["refused"][0]) == (1, True)
    assert run("erase", user.email, "--reason", "asked for it")[0] == 0
    user.refresh_from_db()
    assert (user.email, user.closed_at) == (f"{user.pk}@erased.invalid", closed_at)
    assert not UserContact.objects.filter(user=user).exists()


def everywhere(*texts: str) -> list[str]:
    """Columns of the whole database, but for the outbox, in which one of these still stands."""
    columns = sql(
        "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        " AND data_type IN ('text', 'character varying', 'jsonb') AND table_name NOT LIKE 'events_outbox%%'"
    )
    found = []
    for table, name in columns:
        like = " OR ".join([f'"{name}"::text ILIKE %s'] * len(texts))
        if sql(f'SELECT 1 FROM "{table}" WHERE {like} LIMIT 1', *[f"%{text}%" for text in texts]):
            found.append(f"{table}.{name}")
    return found


def test_nobody_is_erased_before_all_is_settled(desk: Desk, officer: User) -> None:
    user = desk.user(USDT="100")
    email = User.objects.get(pk=user).email
    code, document = run("erase", email, "--reason", "x")
    assert (code, document["refused"]) == (1, ["it has 100 USDT available and 0 held"])
    order = desk.trade(user, "BUY", "1", "10")
    asked, _ = requests.withdraw(Wanted(user, desk.assets["USDT"], Decimal(90), "x", "rest"), trace_id="t")
    code, document = run("erase", email, "--reason", "x")
    assert document["refused"] == [
        "it has 0 USDT available and 100 held",
        "there are 1 open orders",
        "there are 1 open withdrawals",
    ]
    assert User.objects.get(pk=user).email == email
    desk.match(desk.cancel(order))
    requests.cancel(Withdrawal, asked.pk, user, trace_id="t")
    code, document = run("erase", officer.email, "--reason", "x")
    assert "it is of the staff" in document["refused"][0]
    with pytest.raises(CommandError, match="there is no user"):
        run("erase", "nobody@test.exchange", "--reason", "x")
    with pytest.raises(CommandError, match="say why"):
        run("erase", email, "--reason", " ")


def test_two_who_make_a_persons_key_at_once_use_the_same(user: User) -> None:
    barrier, sealed_texts = threading.Barrier(4), []

    def seal() -> None:
        try:
            barrier.wait(20)
            sealed_texts.append(personal_data.seal(user.pk, "TR33", "here"))
        finally:
            connection.close()

    threads = [threading.Thread(target=seal) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [personal_data.unseal(user.pk, text, "here") for text in sealed_texts] == ["TR33"] * 4
    with pytest.raises(Unreadable):
        personal_data.unseal(user.pk, sealed_texts[0], "there")
    assert personal_data.shred(user.pk)
    assert personal_data.unseal(user.pk, sealed_texts[0], "here") == personal_data.ERASED
    assert erasure.DOMAIN == "erased.invalid"
