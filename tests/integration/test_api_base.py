"""What every REST view has from its base: methods, sign-in, bodies, problems, trace ids, readiness."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import psycopg
import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from msgspec import Meta

import exchange.base.redis
from exchange import health, urls
from exchange.base.env import env
from exchange.base.redis import client as redis_client
from exchange.base.redis import connect
from exchange.base.redis_keys import PRICES_ALIVE, RELAY_ALIVE, STREAM_ALIVE
from exchange.platform.members import authentication, tokens
from exchange.platform.members.models import Institution, User
from exchange.platform.rest.view import ApiRequest, ApiView, answer, body, charge
from matching.models import SymbolGroup
from trading.settlement.group_settlement import LOCK_CLASS

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class Note(msgspec.Struct, forbid_unknown_fields=True):
    text: Annotated[str, Meta(max_length=100)]


class EchoView(ApiView):
    def get(self, request: HttpRequest) -> HttpResponse:
        assert not hasattr(request, "session"), "browsers' middleware is not for the API"
        return answer({"now": datetime(2026, 1, 2, tzinfo=UTC)}, headers={"X-Own": "1"})

    def post(self, request: HttpRequest) -> HttpResponse:
        return answer(body(request, Note), 201)


class OrdersView(ApiView):
    permission = "orders:write"

    def post(self, request: ApiRequest) -> HttpResponse:
        return answer({"user_id": request.member.user_id}, headers=charge(request.member, 1))


class BrokenView(ApiView):
    def get(self, request: HttpRequest) -> HttpResponse:
        raise RuntimeError("the password is swordfish")


class NoDatabaseView(ApiView):
    def get(self, request: HttpRequest) -> HttpResponse:
        psycopg.connect("host=127.0.0.1 port=1 dbname=x user=x")
        raise AssertionError("nothing listens there")


def page(request: HttpRequest) -> HttpResponse:
    assert isinstance(request.user, AnonymousUser)
    return HttpResponse("a page")


urlpatterns = [
    path("api/v1/echo", EchoView.as_view()),
    path("api/v1/orders", OrdersView.as_view()),
    path("api/v1/broken", BrokenView.as_view()),
    path("api/v1/no-database", NoDatabaseView.as_view()),
    path("api/v1/", include(urls.api)),
    path("page", page),
]


@pytest.fixture(autouse=True)
def fresh() -> None:
    authentication.clear_cache()
    redis_client().flushdb()


@pytest.fixture
def trader() -> User:
    bank = Institution.objects.create(code="bank", name="Bank")
    return User.objects.create(email="trader@bank.example", institution=bank, order_rate=2)


@pytest.fixture
def signed_in(trader: User) -> Client:
    return Client(headers={"Authorization": f"Bearer {tokens.access(trader)}"})


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    found = json.loads(response.content)
    assert (found["status"], found["code"]) == (status, code)
    assert found["trace_id"] == response["X-Request-ID"]
    return dict(found)


def test_an_answer_is_json() -> None:
    response = Client().get("/api/v1/echo")
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response["Content-Length"] == str(len(response.content))
    assert response["X-Own"] == "1"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response.json() == {"now": "2026-01-02T00:00:00Z"}
    assert not response.cookies


def test_pages_have_what_browsers_need() -> None:
    response = Client().get("/page")
    assert response.content == b"a page"
    assert response["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    ("given", "kept"), [("order-7.a_B", True), ("x" * 65, False), ("a b", False), ("ü", False)]
)
def test_a_sound_request_id_becomes_the_trace_id(given: str, kept: bool) -> None:
    response = Client().get("/api/v1/nothing", headers={"X-Request-ID": given})
    trace_id = problem(response, 404, "not_found")["trace_id"]
    assert (trace_id == given) == kept
    assert len(trace_id) == (len(given) if kept else 36)


def test_only_the_methods_there_are() -> None:
    response = Client().delete("/api/v1/echo")
    problem(response, 405, "method_not_allowed")
    assert response["Allow"] == "GET, POST, HEAD, OPTIONS"
    assert Client().options("/api/v1/echo")["Allow"] == "GET, POST, HEAD, OPTIONS"
    problem(Client().generic("TRACE", "/api/v1/echo"), 405, "method_not_allowed")
    problem(Client().generic("DISPATCH", "/api/v1/echo"), 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/api/v1/", "/api/v1/nothing", "/api/v1/echo/", "/api/v1/orders/../x"])
def test_other_addresses_are_problems_too(path: str) -> None:
    problem(Client().post(path), 404, "not_found")


def test_who_is_not_signed_in_is_told_how() -> None:
    response = Client().post("/api/v1/orders")
    problem(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Bearer"
    response = Client(headers={"Authorization": "Bearer nonsense"}).post("/api/v1/orders")
    problem(response, 401, "invalid_token")
    assert response["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    problem(Client(headers={"Authorization": "Basic eDp5"}).post("/api/v1/orders"), 401, "not_authenticated")


def test_who_may_not_is_forbidden(trader: User, signed_in: Client) -> None:
    User.objects.update(role="SUPPORT", is_staff=True)
    problem(signed_in.post("/api/v1/orders"), 403, "forbidden")


def test_orders_carry_rate_limit_fields_up_to_429(trader: User, signed_in: Client) -> None:
    first = signed_in.post("/api/v1/orders")
    assert first.json() == {"user_id": str(trader.pk)}
    assert first["RateLimit-Policy"] == '"orders";q=2;w=1'
    assert first["RateLimit"] == '"orders";r=1;t=1'
    signed_in.post("/api/v1/orders")
    refused = signed_in.post("/api/v1/orders")
    problem(refused, 429, "rate_limited")
    assert refused["Retry-After"] == "1"
    assert refused["RateLimit"] == '"orders";r=0;t=1'


def test_a_body_is_decoded() -> None:
    response = Client().post("/api/v1/echo", {"text": "ü"}, content_type="application/json; charset=utf-8")
    assert (response.status_code, response.json()) == (201, {"text": "ü"})


def test_bodies_that_are_wrong() -> None:
    def send(data: bytes, content_type: str = "application/json", **headers: str) -> Any:
        return Client().generic("POST", "/api/v1/echo", data, content_type, **headers)  # type: ignore[arg-type]

    found = problem(send(b'{"text": 1, "x": 2}'), 400, "invalid_request")
    assert {error["field"] for error in found["errors"]} == {"text", "x"}
    problem(send(b" "), 400, "invalid_request")
    problem(send(b'{"text": "' + b"x" * 10_000_000 + b'"}'), 413, "body_too_large")
    problem(send(b'{"text": "a"}', "text/plain"), 415, "unsupported_media_type")
    problem(send(b'{"text": "a"}', HTTP_TRANSFER_ENCODING="chunked"), 411, "length_required")


def test_what_nobody_foresaw_tells_nothing_but_the_trace_id(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        response = Client().get("/api/v1/broken")
    problem(response, 500, "internal_error")
    assert b"swordfish" not in response.content
    assert "swordfish" in caplog.text
    assert response["X-Request-ID"] in caplog.text


def test_without_the_database_it_is_503() -> None:
    response = Client().get("/api/v1/no-database")
    problem(response, 503, "database_unavailable")
    assert response["Retry-After"] == "1"


def beat(group: str, sequence: int = 5) -> None:
    now = datetime.now(UTC).isoformat()
    redis_client().set(f"matcher:{group}", json.dumps({"epoch": 3, "sequence": sequence, "timestamp": now}))


def ready() -> tuple[int, dict[str, Any]]:
    response = Client().get("/api/v1/health/ready")
    return response.status_code, response.json()


def test_alive_is_who_answers() -> None:
    assert Client().get("/api/v1/health/live").json() == {"status": "live"}


def test_ready_needs_every_matcher() -> None:
    SymbolGroup.objects.create(name="alpha")
    SymbolGroup.objects.create(name="beta")
    beat("alpha")
    alive = json.dumps({"timestamp": datetime.now(UTC).isoformat(), "connections": 0})
    relay = json.dumps({"timestamp": datetime.now(UTC).isoformat(), "kafka": True})
    redis_client().mset({STREAM_ALIVE: alive, PRICES_ALIVE: alive, RELAY_ALIVE: relay})
    status, found = ready()
    assert (status, found["status"]) == (503, "unavailable")
    assert found["checks"]["matcher:beta"] == "down"
    beat("beta")
    assert ready() == (
        200,
        {
            "status": "ready",
            "checks": {
                "postgresql": "up",
                "redis": "up",
                "stream": "up",
                "prices": "up",
                "relay": "up",
                "kafka": "up",
                "matcher:alpha": "up",
                "matcher:beta": "up",
            },
        },
    )
    redis_client().set(RELAY_ALIVE, relay.replace("true", "false"))
    assert ready()[1]["checks"]["kafka"] == "down"
    redis_client().delete(STREAM_ALIVE)
    status, found = ready()
    assert (status, found["status"], found["checks"]["stream"]) == (200, "degraded", "down")


def test_without_redis_a_matcher_lives_while_it_holds_its_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    SymbolGroup.objects.create(name="alpha")
    monkeypatch.setattr(
        exchange.base.redis, "env", env.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    )
    monkeypatch.setattr(health, "client", connect)
    assert ready()[0] == 503
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, hashtext('alpha'))", [LOCK_CLASS])
        try:
            status, found = ready()
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s, hashtext('alpha'))", [LOCK_CLASS])
    assert (status, found["status"]) == (200, "degraded")
    assert found["checks"] == {
        "postgresql": "up",
        "redis": "down",
        "stream": "unknown",
        "prices": "unknown",
        "relay": "unknown",
        "kafka": "unknown",
        "matcher:alpha": "up",
    }


def test_the_matchers_own_word_is_newer_than_the_checkpoint() -> None:
    SymbolGroup.objects.create(name="alpha")
    beat("alpha", sequence=12)
    matcher = health.survey().matchers[0]
    assert (matcher.group, matcher.alive, matcher.epoch, matcher.sequence) == ("alpha", True, 3, 12)
