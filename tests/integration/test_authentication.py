"""Signing in, tokens, and how soon the API believes what an operator changed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings as django_settings
from django.test import Client
from rest_framework_simplejwt.tokens import AccessToken

import exchange.base.redis
from exchange.api.sign_in import ATTEMPTS
from exchange.base.env import env
from exchange.base.http.problems import Problem
from exchange.base.redis import Circuit, connect
from exchange.base.redis import client as redis_client
from exchange.platform.members import authentication, rate_limit, selectors, tokens
from exchange.platform.members.models import Institution, Role, User
from exchange.platform.members.rate_limit import LocalBuckets

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse"
KEYS: dict[str, Any] = django_settings.SIMPLE_JWT


@pytest.fixture(autouse=True)
def fresh() -> None:
    authentication.clear_cache()
    redis_client().flushdb()


@pytest.fixture
def bank() -> Institution:
    return Institution.objects.create(code="bank", name="Bank", order_rate=20)


@pytest.fixture
def trader(bank: Institution, fresh: None) -> User:
    return User.objects.create_user("trader@bank.example", PASSWORD, institution=bank)


def post(path: str, body: dict[str, Any]) -> Any:
    return Client().post(f"/api/v1/{path}", body, content_type="application/json")


def sign_in(email: str = "trader@bank.example", password: str = PASSWORD) -> Any:
    return post("auth/token", {"email": email, "password": password})


def bearer(token: str) -> str:
    return f"Bearer {token}"


def test_signing_in_gives_tokens_with_the_claims(trader: User) -> None:
    response = sign_in("  Trader@Bank.example ".strip())
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    body = response.json()
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3600)
    claims = jwt.decode(body["access"], KEYS["VERIFYING_KEY"], algorithms=["RS256"], issuer="mytrader")
    assert claims["user_id"] == str(trader.pk)
    assert claims["institution_id"] == str(trader.institution_id)
    assert claims["role"] == "TRADER"
    assert claims["permissions"] == [
        "orders:read",
        "orders:write",
        "balances:read",
        "payments:read",
        "payments:write",
        "profile:read",
        "profile:write",
    ]
    member = authentication.authenticate(bearer(body["access"]), "orders:write")
    assert (member.user_id, member.order_rate) == (str(trader.pk), 20)


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("trader@bank.example", "wrong"),
        ("nobody@bank.example", PASSWORD),
        ("left@bank.example", PASSWORD),
    ],
)
def test_a_failed_sign_in_does_not_say_why(trader: User, email: str, password: str) -> None:
    User.objects.create_user("left@bank.example", PASSWORD, is_active=False)
    response = sign_in(email, password)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    body = response.json()
    assert body["code"] == "invalid_credentials"
    assert body["detail"] == "No active user has this e-mail and password."


def test_attempts_are_limited_per_address_and_email(trader: User) -> None:
    for _ in range(ATTEMPTS):
        assert sign_in(password="wrong").status_code == 401
    response = sign_in()
    assert response.status_code == 429
    assert response.json()["code"] == "too_many_attempts"
    assert 1 <= int(response["Retry-After"]) <= 7
    assert sign_in("other@bank.example").status_code == 401
    elsewhere = Client(REMOTE_ADDR="192.0.2.1")
    body = {"email": "trader@bank.example", "password": PASSWORD}
    assert elsewhere.post("/api/v1/auth/token", body, content_type="application/json").status_code == 200


def test_attempts_are_limited_while_redis_is_away(trader: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        exchange.base.redis, "env", env.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    )
    nowhere = connect()
    monkeypatch.setattr(rate_limit, "client", lambda: nowhere)
    monkeypatch.setattr(rate_limit, "_circuit", Circuit())
    monkeypatch.setattr(rate_limit, "_local", LocalBuckets())
    assert [sign_in(password="wrong").status_code for _ in range(ATTEMPTS + 1)] == [401] * ATTEMPTS + [429]


@pytest.mark.parametrize(
    "body",
    [
        {"email": "trader@bank.example"},
        {"email": "no address", "password": "x"},
        {"email": "nul\0@bank.example", "password": "x"},
        {"email": "trader@bank.example", "password": ""},
        {"email": "trader@bank.example", "password": "x", "otp": "123"},
    ],
)
def test_a_malformed_sign_in_is_named(body: dict[str, str]) -> None:
    response = post("auth/token", body)
    assert response.status_code == 400
    assert len(response.json()["errors"]) == 1


def test_a_refresh_token_gives_a_new_access_token(trader: User) -> None:
    refresh = sign_in().json()["refresh"]
    User.objects.filter(pk=trader.pk).update(role=Role.SUPPORT, is_staff=True)
    response = post("auth/token/refresh", {"refresh": refresh})
    assert response.status_code == 200
    assert AccessToken(response.json()["access"])["role"] == "SUPPORT"
    assert set(response.json()) == {"access", "token_type", "expires_in"}


def test_tokens_do_not_stand_in_for_one_another(trader: User) -> None:
    body = sign_in().json()
    assert post("auth/token/refresh", {"refresh": body["access"]}).status_code == 401
    with pytest.raises(Problem) as raised:
        tokens.verify(body["refresh"])
    assert raised.value.status == 401


def test_a_deactivated_user_cannot_refresh(trader: User) -> None:
    refresh = sign_in().json()["refresh"]
    User.objects.filter(pk=trader.pk).update(is_active=False)
    response = post("auth/token/refresh", {"refresh": refresh})
    assert (response.status_code, response.json()["code"]) == (401, "invalid_token")


def forged(trader: User) -> dict[str, str]:
    good = tokens.access(trader)
    head, payload, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    expired = AccessToken.for_user(trader)
    expired.set_exp(lifetime=-timedelta(seconds=1))
    stranger = AccessToken.for_user(trader)
    stranger["user_id"] = "not-a-uuid"
    issued_elsewhere = AccessToken.for_user(trader)
    issued_elsewhere["iss"] = "other"
    return {
        "signature changed": f"{head}.{payload}.{signature[:-4]}AAAA",
        "unsigned": jwt.encode(claims, "", algorithm="none"),
        "signed with the public key": jwt.encode(claims, "0123456789" * 4, algorithm="HS256"),
        "expired": str(expired),
        "user_id is no id": str(stranger),
        "other issuer": jwt.encode(claims | {"iss": "other"}, KEYS["SIGNING_KEY"], algorithm="RS256"),
        "no token": "x",
        "empty": "",
    }


def test_forged_tokens_are_refused(trader: User) -> None:
    for name, token in forged(trader).items():
        with pytest.raises(Problem) as raised:
            authentication.authenticate(bearer(token), "orders:read")
        assert raised.value.status == 401, name
        assert raised.value.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_remembered_token_expires(trader: User, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tokens.access(trader)
    expires_at = tokens.verify(token).expires_at
    monkeypatch.setattr(tokens.time, "time", lambda: expires_at + 0.1)
    with pytest.raises(Problem, match="expired"):
        tokens.verify(token)


def test_a_change_by_an_operator_counts_once_the_user_is_read_again(
    trader: User, bank: Institution, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = bearer(tokens.access(trader))
    assert authentication.authenticate(header, "orders:write").order_rate == 20
    User.objects.filter(pk=trader.pk).update(order_rate=500)
    assert authentication.authenticate(header, "orders:write").order_rate == 20

    monkeypatch.setattr(authentication, "KEEP_SECONDS", 0.0)
    assert authentication.authenticate(header, "orders:write").order_rate == 500
    User.objects.filter(pk=trader.pk).update(role=Role.SUPPORT, is_staff=True)
    with pytest.raises(Problem) as raised:
        authentication.authenticate(header, "orders:write")
    assert (raised.value.status, raised.value.code) == (403, "forbidden")
    User.objects.filter(pk=trader.pk).update(is_active=False)
    with pytest.raises(Problem) as raised:
        authentication.authenticate(header, "orders:read")
    assert (raised.value.status, raised.value.code) == (401, "invalid_token")


def test_the_rate_is_the_users_else_the_institutions_else_the_default(
    trader: User, bank: Institution
) -> None:
    def rate_of() -> int:
        standing = selectors.active_membership(str(trader.pk))
        assert standing is not None
        return standing.order_rate

    assert rate_of() == 20
    User.objects.filter(pk=trader.pk).update(order_rate=7)
    assert rate_of() == 7
    User.objects.filter(pk=trader.pk).update(order_rate=None)
    Institution.objects.filter(pk=bank.pk).update(order_rate=None)
    assert rate_of() == 10
