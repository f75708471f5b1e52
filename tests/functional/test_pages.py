"""What people see in a browser beside the terminal: what runs, the API's documents, the admin. None needs
another server."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from drf_spectacular.validation import validate_schema

import exchange.base.redis
from exchange import health, pages
from exchange.base.env import env
from exchange.base.redis import connect
from exchange.platform.members.models import Institution, Role, User
from matching.models import SymbolGroup
from tests.staff import BACKEND, signed_in, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> Client:
    return signed_in(staff())


def text(path: str) -> str:
    response = Client().get(path)
    assert response.status_code == 200, path
    return str(response.content.decode())


def fetched_from_elsewhere(html: str) -> list[str]:
    """Addresses of other servers that a browser would fetch by itself: all but links to follow."""
    return re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"'](?:https?:)?//[^\"']+", html)


def test_the_status_page_says_what_runs_and_where_to_go() -> None:
    SymbolGroup.objects.create(name="unattended")  # no other test has a matcher for it
    html = text("/status")
    for address in ("/", "/api/docs", "/api/redoc", "/api/schema", "/admin/"):
        assert f'href="{address}"' in html
    assert "unattended" in html
    assert "Orders cannot be placed" in html
    assert f"ws://testserver:{env.exchange_ws_port}/stream" in html
    assert "<script" not in html
    assert not fetched_from_elsewhere(html)


def test_the_status_page_is_strict_about_content() -> None:
    response = Client().get("/status")
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response["X-Frame-Options"] == "DENY"
    assert Client().post("/status").status_code == 405


def test_demo_sign_ins_are_shown_in_demo_mode_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for demo in (True, False):
        monkeypatch.setattr(pages, "env", env.model_copy(update={"exchange_demo": demo}))
        assert ("demo-pass" in text("/status")) == demo


def test_the_status_page_without_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        exchange.base.redis, "env", env.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    )
    monkeypatch.setattr(health, "client", connect)
    assert re.search(r"Redis</span> <b class=\"down\">", text("/status"))


def test_the_stylesheet_is_there() -> None:
    response = Client().get("/static/exchange/index.css")
    assert response.status_code == 200
    assert b"prefers-color-scheme: dark" in response.getvalue()


@pytest.mark.parametrize("path", ["/api/docs", "/api/redoc"])
def test_api_documents_need_no_other_server(path: str) -> None:
    html = text(path)
    assert not fetched_from_elsewhere(html)
    assert not re.search(r"<script>", html), "inline scripts are refused by the page's own policy"
    for static in re.findall(r"(?:src|href)=\"(/static/[^\"]+)\"", html):
        assert Client().get(static).status_code == 200, static
    assert "default-src 'none'" in Client().get(path)["Content-Security-Policy"]


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, found) for path, item in document["paths"].items() for method, found in item.items()
    ]


def test_the_openapi_document_is_valid_and_whole() -> None:
    document = Client().get("/api/schema").json()
    validate_schema(document)
    assert document["openapi"].startswith("3.1")
    assert {"/api/v1/auth/token", "/api/v1/health/ready", "/api/v1/orders"} <= document["paths"].keys()
    ids = [found["operationId"] for _, _, found in operations(document)]
    assert len(ids) == len(set(ids))


def test_every_reference_in_the_openapi_document_leads_somewhere() -> None:
    response = Client().get("/api/schema")
    known = response.json()["components"]["schemas"].keys()
    assert set(re.findall(r"#/components/schemas/(\w+)", response.content.decode())) <= known


def test_operations_say_who_may_and_what_can_go_wrong() -> None:
    document = Client().get("/api/schema").json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, method, found in operations(document):
        statuses = found["responses"].keys()
        assert "503" in statuses, (path, method)
        if found.get("security") == [{"bearer": []}]:
            assert {"401", "403"} <= statuses, (path, method)
        if "requestBody" in found:
            assert {"400", "411", "413", "415"} <= statuses, (path, method)
    sign_in = document["paths"]["/api/v1/auth/token"]["post"]
    assert not any(sign_in.get("security", []))


def test_the_admin_asks_to_sign_in_and_then_lists_everything(operator: Client) -> None:
    assert Client().get("/admin/").status_code == 302
    assert operator.get("/admin/").status_code == 200
    for model in admin.site._registry:
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        assert operator.get(address).status_code == 200, address


def test_traders_have_no_way_into_the_admin() -> None:
    client = Client()
    client.force_login(User.objects.create_user("trader@bank.example", "x"), backend=BACKEND)
    assert client.get("/admin/").status_code == 302


def test_an_operator_adds_a_user_changes_it_and_sets_a_password(operator: Client) -> None:
    bank = Institution.objects.create(code="bank", name="Bank")
    new = {
        "email": "New@bank.example",
        "usable_password": "true",
        "password1": "a long one 42",
        "password2": "a long one 42",
        "institution": str(bank.pk),
    }
    response = operator.post("/admin/members/user/add/", new)
    assert response.status_code == 302, response.context["errors"]
    user = User.objects.get(email="new@bank.example")
    assert user.check_password("a long one 42")
    page = f"/admin/members/user/{user.pk}/change/"
    assert operator.get(page).status_code == 200
    changed = {
        "email": user.email,
        "is_active": "",
    }
    response = operator.post(page, changed)
    assert response.status_code == 302, response.context["errors"]
    user.refresh_from_db()
    assert (user.is_active, user.role, user.is_staff) == (False, Role.TRADER, False)
    password = {"password1": "another one 43", "password2": "another one 43", "usable_password": "true"}
    assert operator.post(f"/admin/members/user/{user.pk}/password/", password).status_code == 302
    user.refresh_from_db()
    assert user.check_password("another one 43")
