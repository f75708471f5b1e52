"""API keys over REST: making, changing and revoking them, and every way a signed request is refused."""

from __future__ import annotations

import base64
import json
import string
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.db import IntegrityError, OperationalError, connection, connections, transaction
from django.test import Client

from exchange.base.redis import client as redis_client
from exchange.platform.audit.models import Record
from exchange.platform.keys import key_cache, last_used, lifecycle, replay_protection
from exchange.platform.keys.models import ApiKey
from exchange.platform.members import authentication, rate_limit, tokens
from exchange.platform.members.models import Institution, Role, User
from tests.keys import Program, load_client
from tests.staff import signed_in, staff

pytestmark = pytest.mark.django_db

KEYS = "/api/v1/keys"
READABLE = "/api/v1/notifications"  # takes profile:read
WRITABLE = "/api/v1/orders"  # POST takes orders:write
PAYMENTS = "/api/v1/withdrawals"  # POST takes payments:write
SECRETS = load_client()


@pytest.fixture(autouse=True)
def fresh() -> None:
    authentication.clear_cache()
    key_cache.clear_cache()
    last_used.notes.clear()
    with connection.cursor() as cursor:  # a memory that has been there for long
        cursor.execute(
            "INSERT INTO keys_seen VALUES (%s, 0) ON CONFLICT (id) DO UPDATE SET until = 0",
            [str(replay_protection._MEMORY)],
        )


@pytest.fixture
def bank() -> Institution:
    return Institution.objects.create(code="bank", name="Bank")


@pytest.fixture
def trader(bank: Institution) -> User:
    return User.objects.create(email="trader@bank.example", institution=bank)


@pytest.fixture
def owner(trader: User) -> Client:
    """The trader, signed in."""
    return Client(headers={"Authorization": f"Bearer {tokens.access(trader)}"})


def wish(**other: Any) -> dict[str, Any]:
    return {"name": "robot", "scopes": ["TRADE"], **other}


def post(client: Client, **other: Any) -> Any:
    return client.post(KEYS, wish(**other), content_type="application/json")


def made(client: Client, **other: Any) -> dict[str, Any]:
    response = post(client, **other)
    assert response.status_code == 201, response.content
    assert response["Cache-Control"] == "no-store"
    return dict(response.json())


def program(client: Client, *, window: int = 5000, address: str = "127.0.0.1", **other: Any) -> Program:
    """One with a key of the client's."""
    answer = made(client, **other)
    sign = SECRETS.hmac_sha256(answer["secret"])
    return Program(answer["key"]["key_id"], sign, window=window, address=address)


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.content
    found = json.loads(response.content)
    assert (found["status"], found["code"]) == (status, code)
    if status == 401:
        assert response["WWW-Authenticate"]
    return dict(found)


def fields(response: Any) -> dict[str, str]:
    return {each["field"]: each["detail"] for each in problem(response, 400, "invalid_request")["errors"]}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


# Making


def test_a_secret_is_shown_once_and_sealed_in_the_database(owner: Client) -> None:
    answer = made(owner)
    secret, key = answer["secret"], answer["key"]
    assert len(secret) == 43
    assert key["scopes"] == ["READ", "TRADE"]
    assert (key["status"], key["kind"], key["public_key"]) == ("ACTIVE", "HMAC_SHA256", None)
    listed = owner.get(KEYS).content.decode() + owner.get(f"{KEYS}/{key['key_id']}").content.decode()
    assert key["key_id"] in listed
    assert secret not in listed
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(k)::text FROM keys_apikey k WHERE id = %s", [key["key_id"]])
        stored = cursor.fetchone()[0]
    assert "robot" in stored
    assert secret not in stored


def test_what_is_wrong_is_all_said(owner: Client) -> None:
    found = fields(
        post(
            owner,
            scopes=["WITHDRAW"],
            public_key="AAAA",
            expires_at="2020-01-01T00:00:00Z",
        )
    )
    assert found.keys() == {"addresses", "public_key", "expires_at"}
    assert "future" in found["expires_at"]
    found = fields(post(owner, kind="ED25519", addresses=["192.0.2.1", "bank", "10.0.0.1/8"]))
    assert found.keys() == {"public_key", "addresses[1]", "addresses[2]"}
    assert "10.0.0.0/8" in found["addresses[2]"]
    assert fields(post(owner, scopes=[])).keys() == {"scopes"}
    assert fields(post(owner, scopes=["ADMIN"])).keys() == {"scopes[0]"}
    for name in ("", "   ", "a\nb", "x" * 61):
        assert fields(post(owner, name=name)).keys() == {"name"}, name
    assert fields(post(owner, expires_at="2100-01-01T00:00:00")).keys() == {"expires_at"}
    assert not ApiKey.objects.exists()


def test_there_is_an_end_to_how_many(owner: Client, trader: User) -> None:
    first = made(owner)["key"]["key_id"]
    for _ in range(lifecycle.MOST_KEYS - 1):
        ApiKey.objects.create(user=trader, name="k", kind="HMAC_SHA256", secret="s", scopes=["READ"])
    problem(post(owner), 409, "too_many_api_keys")
    assert owner.delete(f"{KEYS}/{first}").status_code == 200
    made(owner)
    problem(post(owner), 409, "too_many_api_keys")
    ApiKey.objects.filter(revoked_at=None).first()
    ApiKey.objects.filter(user=trader).update(expires_at=datetime.now(UTC))
    made(owner)  # those that have expired do not count


def test_the_list_goes_by_pages(owner: Client) -> None:
    ids = [made(owner, name=f"k{number}")["key"]["key_id"] for number in range(3)]
    first = owner.get(KEYS, {"limit": 2}).json()
    assert [each["key_id"] for each in first["items"]] == [ids[2], ids[1]]
    rest = owner.get(KEYS, {"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [each["key_id"] for each in rest["items"]] == [ids[0]]
    assert rest["next_cursor"] is None


def test_nobody_else_finds_a_key(owner: Client, bank: Institution) -> None:
    key_id = made(owner)["key"]["key_id"]
    other = User.objects.create(email="other@bank.example", institution=bank)
    them = Client(headers={"Authorization": f"Bearer {tokens.access(other)}"})
    assert them.get(KEYS).json()["items"] == []
    for address in (key_id, str(uuid4()), "nothing"):
        problem(them.get(f"{KEYS}/{address}"), 404, "api_key_not_found")
        problem(them.delete(f"{KEYS}/{address}"), 404, "api_key_not_found")
        renamed = them.patch(f"{KEYS}/{address}", {"name": "mine"}, content_type="application/json")
        problem(renamed, 404, "api_key_not_found")
    assert owner.get(f"{KEYS}/{key_id}").json()["status"] == "ACTIVE"


def test_only_traders_have_keys(bank: Institution) -> None:
    dealer = staff(Role.DEALER, bank)
    problem(post(Client(headers={"Authorization": f"Bearer {tokens.access(dealer)}"})), 403, "not_a_trader")


def test_changes(owner: Client) -> None:
    robot = program(owner)
    key = f"{KEYS}/{robot.client.key_id}"

    def patch(**changes: Any) -> Any:
        return owner.patch(key, changes, content_type="application/json")

    assert robot.send("GET", READABLE).status_code == 200
    changed = patch(name=" renamed ", addresses=["203.0.113.9", "203.0.113.9/32"]).json()
    assert (changed["name"], changed["addresses"]) == ("renamed", ["203.0.113.9"])
    key_cache.clear_cache()
    problem(robot.send("GET", READABLE), 403, "address_not_allowed")
    assert patch(addresses=[]).json()["name"] == "renamed"
    end = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert patch(expires_at=end).json()["expires_at"]
    assert patch(expires_at=None).json()["expires_at"] is None
    assert fields(patch(expires_at="2020-01-01T00:00:00Z")).keys() == {"expires_at"}
    assert fields(patch(scopes=["WITHDRAW"])).keys() == {"scopes"}
    assert owner.delete(key).json()["status"] == "REVOKED"
    problem(patch(name="again"), 409, "key_revoked")
    once = ApiKey.objects.get().revoked_at
    assert owner.delete(key).status_code == 200
    assert ApiKey.objects.get().revoked_at == once


def test_a_key_that_withdraws_keeps_its_addresses(owner: Client) -> None:
    robot = program(owner, scopes=["WITHDRAW"], addresses=["127.0.0.0/8"])
    key = f"{KEYS}/{robot.client.key_id}"
    refused = owner.patch(key, {"addresses": []}, content_type="application/json")
    assert fields(refused).keys() == {"addresses"}


def test_making_changing_and_revoking_are_in_the_audit_log(owner: Client, trader: User) -> None:
    answer = made(owner)
    key = f"{KEYS}/{answer['key']['key_id']}"
    owner.patch(key, {"name": "renamed"}, content_type="application/json")
    owner.patch(key, {"name": "renamed"}, content_type="application/json")  # changes nothing
    owner.delete(key)
    records = list(Record.objects.filter(resource=f"api-key/{answer['key']['key_id']}").order_by("id"))
    assert [each.action for each in records] == ["CREATE_API_KEY", "CHANGE_API_KEY", "REVOKE_API_KEY"]
    assert {each.actor for each in records} == {str(trader.pk)}
    assert {each.institution_id for each in records} == {trader.institution_id}
    assert json.loads(records[1].new)["name"] == "renamed"
    assert all(answer["secret"] not in each.new + each.old for each in records)


def test_the_database_knows_what_a_kind_needs(trader: User) -> None:
    common = {"user": trader, "name": "k", "scopes": ["READ"]}
    for wrong in (
        {**common, "kind": "ED25519"},
        {**common, "kind": "HMAC_SHA256", "secret": "s", "public_key": "A" * 44},
        {**common, "kind": "HMAC_SHA256", "secret": "s", "scopes": []},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            ApiKey.objects.create(**wrong)


# Signed requests


def test_a_signed_request_is_its_users(owner: Client, trader: User) -> None:
    robot = program(owner)
    assert robot.send("GET", f"{READABLE}?kind=DEPOSIT&limit=5").json()["items"] == []
    problem(robot.send("POST", WRITABLE, {"symbol": "X/Y"}), 400, "invalid_request")  # so it was let in
    problem(robot.send("GET", f"{READABLE}?kind=Ü%0A"), 400, "invalid_request")


def test_ed25519_works_the_same(owner: Client) -> None:
    private = Ed25519PrivateKey.generate()
    raw = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    answer = made(owner, kind="ED25519", public_key=raw)
    assert answer["secret"] is None
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    robot = Program(answer["key"]["key_id"], SECRETS.ed25519(pem))
    assert robot.send("GET", READABLE).status_code == 200
    problem(robot.again("GET", READABLE), 401, "replayed")
    problem(robot.again("GET", f"{READABLE}?limit=1"), 401, "invalid_signature")


@pytest.mark.parametrize(
    "change",
    [
        {"X-API-Signature": "0" * 64},
        {"X-API-Signature": "ü"},
        {"X-API-Signature": "a" * 1000},
        {"X-API-Window": "5001"},
        {"X-API-Timestamp": "later"},
    ],
    ids=str,
)
def test_another_signature_is_refused(owner: Client, change: dict[str, str]) -> None:
    robot = program(owner)
    headers = robot.sign("GET", READABLE)
    if "X-API-Timestamp" in change:
        change = {"X-API-Timestamp": str(int(headers["X-API-Timestamp"]) + 1)}
    problem(robot.again("GET", READABLE, change=change), 401, "invalid_signature")


def test_another_request_is_refused(owner: Client) -> None:
    robot, other = program(owner), program(owner)
    robot.sign("POST", WRITABLE, b'{"a":1}')
    problem(robot.again("POST", WRITABLE, b'{"a":2}'), 401, "invalid_signature")
    problem(robot.again("POST", f"{WRITABLE}?a=1", b'{"a":1}'), 401, "invalid_signature")
    problem(robot.again("POST", f"{WRITABLE}/batch", b'{"a":1}'), 401, "invalid_signature")
    robot.headers["X-API-Key"] = other.client.key_id
    problem(robot.again("POST", WRITABLE, b'{"a":1}'), 401, "invalid_signature")


def test_a_request_without_all_headers_is_told_which(owner: Client) -> None:
    robot = program(owner)
    robot.sign("GET", READABLE)
    for name in ("X-API-Timestamp", "X-API-Signature"):
        kept = robot.headers.pop(name)
        assert name in problem(robot.again("GET", READABLE), 401, "not_authenticated")["detail"]
        robot.headers[name] = kept
    for key_id in (str(uuid4()), "nothing", "'; --"):
        problem(robot.again("GET", READABLE, change={"X-API-Key": key_id}), 401, "unknown_key")


def test_without_a_window_it_is_five_seconds(owner: Client) -> None:
    robot = program(owner, window=5000)
    robot.sign("GET", READABLE)
    del robot.headers["X-API-Window"]
    assert robot.again("GET", READABLE).status_code == 200


@pytest.mark.parametrize(("window", "ahead"), [(5000, -5100), (60_000, -60_100), (100, -200), (60_000, 1100)])
def test_too_early_and_too_late_are_refused_with_the_time(owner: Client, window: int, ahead: int) -> None:
    robot = program(owner, window=window)
    robot.client.clock.ahead = ahead
    found = problem(robot.send("GET", READABLE), 401, "timestamp_outside_window")
    assert abs(found["server_time"] - now_ms()) < 5000


def test_within_the_window_it_is_taken(owner: Client) -> None:
    for window, ahead in ((60_000, -30_000), (5000, -2000), (5000, 500)):
        robot = program(owner, window=window)
        robot.client.clock.ahead = ahead
        assert robot.send("GET", READABLE).status_code == 200, ahead


@pytest.mark.parametrize("window", ["0", "60001", "-5", "5e3", "05000", "5000.0", "x"])
def test_a_window_that_is_none_is_refused(owner: Client, window: str) -> None:
    robot = program(owner)
    robot.sign("GET", READABLE)
    found = problem(
        robot.again("GET", READABLE, change={"X-API-Window": window}), 401, "timestamp_outside_window"
    )
    assert "60000" in found["detail"]


def test_revoked_expired_and_inactive(owner: Client, trader: User) -> None:
    robot = program(owner)
    key = ApiKey.objects.filter(pk=robot.client.key_id)
    key.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    problem(robot.send("GET", READABLE), 401, "key_expired")
    key.update(expires_at=None)
    key_cache.clear_cache()
    assert robot.send("GET", READABLE).status_code == 200
    User.objects.filter(pk=trader.pk).update(is_active=False)
    authentication.clear_cache()
    problem(robot.send("GET", READABLE), 401, "user_inactive")
    User.objects.filter(pk=trader.pk).update(is_active=True)
    key.update(revoked_at=datetime.now(UTC))
    key_cache.clear_cache()
    problem(robot.send("GET", READABLE), 401, "key_revoked")
    problem(robot.again("GET", READABLE, change={"X-API-Signature": "0" * 64}), 401, "invalid_signature")


@pytest.mark.django_db(transaction=True)
def test_a_revoked_key_is_refused_at_once_where_it_was_revoked(owner: Client) -> None:
    robot = program(owner)
    assert robot.send("GET", READABLE).status_code == 200
    owner.delete(f"{KEYS}/{robot.client.key_id}")
    problem(robot.send("GET", READABLE), 401, "key_revoked")


def test_addresses(owner: Client) -> None:
    allowed = ["203.0.113.0/24", "2001:db8::7"]
    robot = program(owner, addresses=allowed)
    found = problem(robot.send("GET", READABLE), 403, "address_not_allowed")
    assert found["address"] == "127.0.0.1"
    robot.headers["X-Forwarded-For"] = "203.0.113.1"
    problem(
        robot.again("GET", READABLE, change={"X-Forwarded-For": "203.0.113.1"}), 403, "address_not_allowed"
    )
    for robot.address in ("203.0.113.200", "2001:db8::7", "::ffff:203.0.113.4"):
        assert robot.send("GET", READABLE).status_code == 200, robot.address
    for robot.address in ("203.0.114.1", "2001:db8::8", ""):
        problem(robot.send("GET", READABLE), 403, "address_not_allowed")


def test_scopes(owner: Client) -> None:
    reader = program(owner, scopes=["READ"])
    assert reader.send("GET", READABLE).status_code == 200
    found = problem(reader.send("POST", WRITABLE, {}), 403, "scope_missing")
    assert found["scope"] == "TRADE"
    found = problem(reader.send("DELETE", WRITABLE), 403, "scope_missing")
    trader = program(owner, scopes=["TRADE"])
    found = problem(trader.send("PUT", f"{READABLE}/preferences", {}), 403, "scope_missing")
    assert found["scope"] is None
    found = problem(trader.send("POST", PAYMENTS, {}), 403, "scope_missing")
    assert found["scope"] == "WITHDRAW"
    payer = program(owner, scopes=["WITHDRAW"], addresses=["127.0.0.1"])
    problem(payer.send("POST", PAYMENTS, {}), 400, "invalid_request")  # so it was let in
    problem(payer.send("POST", WRITABLE, {}), 403, "scope_missing")


def test_no_key_sees_or_changes_keys(owner: Client) -> None:
    robot = program(owner, scopes=["TRADE", "WITHDRAW"], addresses=["127.0.0.1"])
    one = f"{KEYS}/{robot.client.key_id}"
    problem(robot.send("GET", KEYS), 403, "sign_in_required")
    problem(robot.send("POST", KEYS, wish()), 403, "sign_in_required")
    problem(robot.send("GET", one), 403, "sign_in_required")
    problem(robot.send("PATCH", one, {"addresses": ["192.0.2.1"]}), 403, "sign_in_required")
    problem(robot.send("DELETE", one), 403, "sign_in_required")
    assert ApiKey.objects.get().revoked_at is None


def test_a_key_may_no_more_than_its_user(owner: Client, trader: User) -> None:
    robot = program(owner)
    User.objects.filter(pk=trader.pk).update(role=Role.SUPPORT, is_staff=True)
    authentication.clear_cache()
    problem(robot.send("POST", WRITABLE, {}), 403, "forbidden")


def test_the_rate_is_the_users_however_many_keys(
    owner: Client, trader: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "ORDERS_WINDOW", 60.0)  # two orders a minute: this test may be slow
    User.objects.filter(pk=trader.pk).update(order_rate=2)
    authentication.clear_cache()
    answers = [program(owner).send("POST", WRITABLE, {}) for _ in range(3)]
    assert [each.status_code for each in answers] == [400, 400, 429]


def test_a_token_goes_before_a_signature(owner: Client) -> None:
    robot = program(owner)
    robot.sign("GET", READABLE)
    problem(robot.again("GET", READABLE, change={"Authorization": "Bearer nonsense"}), 401, "invalid_token")
    assert robot.again("GET", READABLE).status_code == 200


def test_what_is_public_is_so_with_a_key_and_a_trade_shows_its_side(owner: Client) -> None:
    robot = program(owner)
    problem(robot.send("GET", f"/api/v1/trades/{uuid4()}"), 404, "trade_not_found")
    robot.headers["X-API-Signature"] = "0" * 64
    problem(robot.again("GET", f"/api/v1/trades/{uuid4()}"), 401, "invalid_signature")


# Replays


def test_the_same_request_is_taken_once(owner: Client) -> None:
    robot = program(owner)
    assert robot.send("GET", READABLE).status_code == 200
    for _ in range(3):
        problem(robot.again("GET", READABLE), 401, "replayed")
    assert robot.send("GET", READABLE).status_code == 200


def test_another_spelling_of_it_is_the_same_request(owner: Client) -> None:
    private = Ed25519PrivateKey.generate()
    raw = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    robot = Program(made(owner, kind="ED25519", public_key=raw)["key"]["key_id"], SECRETS.ed25519(pem))
    assert robot.send("GET", READABLE).status_code == 200
    spelt = robot.headers["X-API-Signature"]
    digits = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    other = (
        f"{spelt[:-3]}{digits[digits.index(spelt[-3]) ^ 1]}=="  # its lowest bits are no part of the 64 bytes
    )
    assert base64.b64decode(other) == base64.b64decode(spelt)
    problem(robot.again("GET", READABLE, change={"X-API-Signature": other}), 401, "replayed")


def test_redis_has_no_part_in_it(owner: Client) -> None:
    robot = program(owner)
    assert robot.send("GET", READABLE).status_code == 200
    redis_client().flushall()
    problem(robot.again("GET", READABLE), 401, "replayed")


def test_a_refusal_does_not_use_a_signature_up(owner: Client) -> None:
    robot = program(owner, addresses=["192.0.2.1"])
    problem(robot.send("GET", READABLE), 403, "address_not_allowed")
    problem(robot.again("GET", READABLE), 403, "address_not_allowed")
    robot.address = "192.0.2.1"
    assert robot.again("GET", READABLE).status_code == 200


def test_what_was_signed_before_the_memory_began_is_refused(owner: Client) -> None:
    """As after a crash of PostgreSQL: the unlogged table is empty."""
    robot = program(owner, window=60_000)
    assert robot.send("GET", READABLE).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE keys_seen")
    response = robot.again("GET", READABLE)
    problem(response, 503, "replay_check_starting")
    assert response["Retry-After"] == "5"
    problem(robot.again("GET", READABLE), 503, "replay_check_starting")
    problem(robot.send("GET", READABLE), 503, "replay_check_starting")
    with connection.cursor() as cursor:  # the pause is over
        cursor.execute("UPDATE keys_seen SET until = %s", [int(robot.headers["X-API-Timestamp"])])
    assert robot.send("GET", READABLE).status_code == 200
    problem(robot.again("GET", READABLE), 401, "replayed")


def test_the_table_is_one_that_postgresql_forgets_as_a_whole() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relpersistence FROM pg_class WHERE relname = 'keys_seen'")
        assert cursor.fetchone() == ("u",)


def test_the_database_has_the_last_word_on_the_time(owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A web process whose clock is behind would take an old request; PostgreSQL does not."""
    robot = program(owner)
    robot.client.clock.ahead = -10_000
    monkeypatch.setattr("exchange.platform.keys.signed_requests._now", lambda: now_ms() - 10_000)
    found = problem(robot.send("GET", READABLE), 401, "timestamp_outside_window")
    assert abs(found["server_time"] - now_ms()) < 5000


def test_old_requests_are_let_go_and_the_memory_stays(owner: Client) -> None:
    robot = program(owner, window=60_000)
    robot.send("GET", READABLE)
    assert replay_protection.delete_old() == 0
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE keys_seen SET until = %s WHERE until > 0", [now_ms() - replay_protection._KEEP - 1000]
        )
        assert replay_protection.delete_old() == 1
        cursor.execute("SELECT count(*) FROM keys_seen")
        assert cursor.fetchone() == (1,)


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_is_taken() -> None:
    outcomes: list[replay_protection.Outcome] = []
    together = threading.Barrier(8)
    request, signed_at = uuid4(), now_ms()

    def send() -> None:
        try:
            connections["default"].ensure_connection()
            together.wait()
            outcomes.append(replay_protection.remember(request, signed_at, 60_000).outcome)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["NEW", *["REPLAYED"] * 7]


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_was_lost_is_made_anew() -> None:
    replay_protection.remember(uuid4(), now_ms(), 5000)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()
    assert replay_protection.remember(uuid4(), now_ms(), 5000).outcome == "NEW"


# Uses


def test_the_last_use_is_recorded_once_a_minute(owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    robot = program(owner, address="192.0.2.7")
    robot.send("GET", READABLE)
    last_used.notes.write()
    first = owner.get(KEYS).json()["items"][0]
    assert first["last_used_address"] == "192.0.2.7"
    assert first["last_used_at"]
    robot.address = "192.0.2.8"
    robot.send("GET", READABLE)
    last_used.notes.write()
    assert owner.get(KEYS).json()["items"][0] == first
    monkeypatch.setattr(last_used, "EVERY", 0.0)
    robot.send("GET", READABLE)
    last_used.notes.write()
    assert owner.get(KEYS).json()["items"][0]["last_used_address"] == "192.0.2.8"


def test_refused_uses_are_in_the_audit_log_once_a_minute(
    owner: Client, trader: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = program(owner, scopes=["READ"])
    for _ in range(3):
        problem(robot.send("POST", WRITABLE, {}), 403, "scope_missing")
    robot.again("GET", READABLE)
    last_used.notes.write()
    monkeypatch.setattr(last_used, "EVERY", 0.0)
    robot.send("POST", WRITABLE, {})
    last_used.notes.write()
    records = Record.objects.filter(action="REFUSE_API_KEY").order_by("id")
    told = [json.loads(each.new) for each in records]
    assert [(each["reason"], each["count"]) for each in told] == [
        ("scope_missing", 1),
        ("invalid_signature", 1),
        ("scope_missing", 3),
    ]
    assert [each.actor for each in records] == [str(trader.pk), "unknown", str(trader.pk)]
    assert {each.institution_id for each in records} == {trader.institution_id}
    assert {each.address for each in records} == {"127.0.0.1"}


def test_notes_wait_while_they_cannot_be_written(owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    robot = program(owner)
    robot.send("GET", READABLE)

    def away(_: Any) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr(last_used, "_write_uses", away)
        with pytest.raises(OperationalError):
            last_used.notes.write()
    last_used.notes.write()
    assert ApiKey.objects.get().last_used_at is not None


# The back office


def test_staff_look_at_their_own_and_revoke(owner: Client, bank: Institution) -> None:
    answer = made(owner)
    mine, theirs = (
        staff(Role.INSTITUTION_ADMIN, bank),
        staff(Role.INSTITUTION_ADMIN, Institution.objects.create(code="other", name="Other")),
    )
    page, key_id = "/admin/keys/apikey/", answer["key"]["key_id"]
    shown = signed_in(mine).get(page).content.decode()
    assert "trader@bank.example" in shown
    one = signed_in(mine).get(f"{page}{key_id}/change/").content.decode()
    assert key_id in one
    assert answer["secret"] not in shown + one
    assert "trader@bank.example" not in signed_in(theirs).get(page).content.decode()
    assert signed_in(theirs).get(f"{page}{key_id}/change/").status_code in (302, 403, 404)
    revoking = {"action": "revoke", "_selected_action": [key_id]}
    signed_in(theirs).post(page, revoking)
    signed_in(staff(Role.AUDITOR, bank)).post(page, revoking)
    assert ApiKey.objects.get().revoked_at is None
    signed_in(mine).post(page, revoking)
    assert ApiKey.objects.get().revoked_at is not None
    record = Record.objects.get(action="REVOKE_API_KEY")
    assert record.actor == str(mine.pk)


def test_nobody_changes_a_key_in_the_back_office(owner: Client) -> None:
    key_id = made(owner)["key"]["key_id"]
    boss = signed_in(staff(Role.PLATFORM_ADMIN))
    page = "/admin/keys/apikey/"
    assert boss.get(f"{page}add/").status_code == 403
    assert boss.post(f"{page}{key_id}/change/", {"name": "x"}).status_code == 403
    assert boss.post(f"{page}{key_id}/delete/", {"post": "yes"}).status_code == 403
    assert ApiKey.objects.get().name == "robot"
