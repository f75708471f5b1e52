"""What people do leaves a record: in the admin, at the sign-in, at the shell; and who may read it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from django.test import Client

from exchange.base.origin import Origin, acting
from exchange.embedded.stack import PROJECT
from exchange.platform.audit import log, sealing
from exchange.platform.audit.models import Record
from exchange.platform.commands import audited
from exchange.platform.events import schema
from exchange.platform.events.models import OutboxEvent
from exchange.platform.members.models import Brand, Institution, Role, User
from tests import staff
from tests.commands import environment

pytestmark = pytest.mark.django_db


@pytest.fixture
def bank() -> Institution:
    return Institution.objects.create(code="bank", name="Bank")


@pytest.fixture
def other() -> Institution:
    return Institution.objects.create(code="other", name="Other")


def told(action: str) -> list[dict[str, Any]]:
    """Records of that action, oldest first."""
    rows = Record.objects.filter(action=action).order_by("id").values()
    return [{**row, "old": json.loads(row["old"]), "new": json.loads(row["new"])} for row in rows]


# -- the admin


def test_a_change_in_the_admin_says_what_was_and_what_is(bank: Institution) -> None:
    admin = staff.staff()
    client = staff.signed_in(admin)
    sent = {"code": "bank", "name": "The Bank"}
    inlines = {
        f"{name}-{count}": number
        for name in ("brand", "hosts")
        for count, number in (
            ("TOTAL_FORMS", 0),
            ("INITIAL_FORMS", 0),
            ("MIN_NUM_FORMS", 0),
            ("MAX_NUM_FORMS", 9),
        )
    }
    answer = client.post(
        f"/admin/members/institution/{bank.pk}/change/",
        {**sent, **inlines},
        headers={"user-agent": "a browser"},
    )
    assert answer.status_code == 302, answer.content[:2000]
    (change,) = told("admin.change")
    assert (change["old"], change["new"]) == (
        {"name": "Bank"},
        {"name": "The Bank"},
    )
    assert change["resource"] == f"institution/{bank.pk}" and change["actor"] == str(admin.pk)
    assert (change["role"], change["address"], change["agent"]) == (
        Role.PLATFORM_ADMIN,
        "127.0.0.1",
        "a browser",
    )
    assert change["trace_id"] == answer.headers["X-Request-ID"]
    (event,) = [
        json.loads(each.message)
        for each in OutboxEvent.objects.filter(topic="audit.logs")
        if "admin.change" in each.message
    ]
    schema.check("audit.logs", event)
    assert event["payload"]["record"] == str(change["id"])


def test_an_action_is_recorded_before_it_runs(bank: Institution, other: Institution) -> None:
    client = staff.signed_in(staff.staff())
    brand = Brand.objects.create(institution=other, name="Other")
    client.post(
        "/admin/members/institution/",
        {"action": "export", "_selected_action": [str(bank.pk)], "index": "0"},
    )
    (asked,) = told("admin.action")
    assert asked["resource"] == "members.institution"
    assert asked["new"] == {"action": "export", "selected": [str(bank.pk)], "count": 1}
    assert brand.pk


# -- signing in


def test_who_signs_in_and_who_fails_is_recorded(bank: Institution) -> None:
    trader = User.objects.create_user("trader@bank.example", staff.PASSWORD, institution=bank)
    client = Client()
    for email, password in (
        ("trader@bank.example", staff.PASSWORD),
        ("trader@bank.example", "wrong"),
        ("nobody@bank.example", "wrong"),
    ):
        client.post(
            "/api/v1/auth/token", {"email": email, "password": password}, content_type="application/json"
        )
    (inside,) = told("sign_in")
    assert (inside["actor"], inside["institution_id"], inside["role"]) == (str(trader.pk), bank.pk, "TRADER")
    wrong, unknown = told("sign_in.failed")
    assert (wrong["resource"], wrong["institution_id"]) == (f"user/{trader.pk}", bank.pk)
    assert unknown["resource"].startswith("user/personal:") and unknown["actor"] == "anonymous"
    assert "nobody" not in json.dumps(unknown, default=str)


def test_signing_out_of_the_admin_is_recorded(bank: Institution) -> None:
    auditor = staff.staff(Role.AUDITOR, bank)
    staff.signed_in(auditor).post("/admin/logout/")
    (out,) = told("sign_out")
    assert (out["actor"], out["institution_id"]) == (str(auditor.pk), bank.pk)


# -- the page


def test_each_sees_the_records_of_their_own_institution(bank: Institution, other: Institution) -> None:
    with transaction.atomic():
        for institution, resource in (
            (bank, "thing/ours"),
            (other, "thing/theirs"),
            (None, "thing/everybodys"),
        ):
            log.record(
                action="test", resource=resource, institution=str(institution.pk) if institution else ""
            )
    sealing.seal_all()
    theirs = Record.objects.get(resource="thing/theirs")
    ours = Record.objects.get(resource="thing/ours")
    for role in (Role.AUDITOR, Role.COMPLIANCE):
        client = staff.signed_in(staff.staff(role, bank))
        page = client.get("/admin/audit/record/?q=thing/ours").content.decode()
        assert "thing/ours" in page
        page = client.get("/admin/audit/record/").content.decode()
        assert "thing/ours" in page and "thing/theirs" not in page and "thing/everybodys" not in page
        assert client.get(f"/admin/audit/record/{theirs.pk}/change/").status_code in (302, 403, 404)
        one = client.get(f"/admin/audit/record/{ours.pk}/change/").content.decode()
        seal = sealing_of(ours)
        assert seal in one and 'name="_save"' not in one
    page = staff.signed_in(staff.staff(Role.AUDITOR)).get("/admin/audit/record/").content.decode()
    assert all(f"thing/{name}" in page for name in ("ours", "theirs", "everybodys"))
    assert staff.signed_in(staff.staff(Role.SUPPORT, bank)).get("/admin/audit/record/").status_code == 403


def sealing_of(record: Record) -> str:
    from exchange.platform.audit.models import Seal

    return bytes(Seal.objects.get(pk=record.pk).hash).hex()


def test_the_log_is_searched_from_the_shell(bank: Institution) -> None:
    with transaction.atomic(), acting(Origin("me", "ADMIN", trace_id="trace-1")):
        log.record(action="test", resource="thing/1", institution=str(bank.pk), new={"a": "ü"})
        log.record(action="other", resource="thing/2", actor="you")

    def found(*options: str) -> list[str]:
        out = io.StringIO()
        call_command("audit", "--list", "--json", *options, stdout=out)
        return [each["resource"] for each in json.loads(out.getvalue())]

    assert found() == ["thing/2", "thing/1"]
    assert (
        found("--actor", "me")
        == found("--institution", "bank")
        == found("--resource", "thing/1")
        == ["thing/1"]
    )
    assert found("--trace", "trace-1") == ["thing/2", "thing/1"]
    assert found("--action", "other") == found("--institution", "platform") == ["thing/2"]
    assert found("--until", "2020-01-01") == []
    assert len(found("--limit", "1")) == 1


# -- the shell


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    given = {**environment(), **variables}
    return subprocess.run(command, cwd=PROJECT, env=given, capture_output=True, text=True)


@pytest.mark.django_db(transaction=True)
def test_a_command_is_recorded_before_it_runs_and_how_it_ended(bank: Institution) -> None:
    user = User.objects.create_user("trader@bank.example", institution=bank)
    done = run("block", "--user", "trader@bank.example", "--reason", "a test", SUDO_USER="alice")
    assert done.returncode == 0, done.stderr
    (start,), (end,), (block,) = told("command.start"), told("command.end"), told("BLOCK")
    assert start["actor"].startswith("command:") and start["actor"].endswith("(alice)")
    assert start["resource"] == "command/block" and start["institution_id"] is None
    assert start["new"]["arguments"] == ["--user", f"user/{user.pk}", "--reason", "a test"]
    assert end["new"] == {"exit_code": 0} and start["id"] < block["id"] < end["id"]
    assert start["trace_id"] == end["trace_id"] != ""
    assert run("block", "--user", "nobody@bank.example", "--reason", "x").returncode == 2
    start, end = told("command.start")[1], told("command.end")[1]
    assert end["new"] == {"exit_code": 2} and start["new"]["arguments"][1].startswith("personal:")
    events = [json.loads(each.message) for each in OutboxEvent.objects.filter(topic="audit.logs")]
    for event in events:
        schema.check("audit.logs", event)
    assert sum(event["payload"].get("action") == "command.end" for event in events) == 2


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("halt BTC/USDT", True),
        ("axes_reset", True),
        ("dbshell -- -h somewhere", True),
        ("shell -c 1", True),
        ("halt --help", False),
        ("--version", False),
        ("makemigrations --check", False),
        ("up", False),
    ],
)
def test_what_may_do_something_is_recorded_whoever_wrote_it(line: str, kept: bool) -> None:
    name, *arguments = line.split()
    assert audited._is_recorded(name, arguments) is kept


def test_secrets_stay_out_and_a_missing_database_is_no_obstacle() -> None:
    away = "postgresql://somebody:hunter2@127.0.0.1:1/none"
    done = run("groups", DATABASE_URL=away)
    assert "groups: not in the audit log, as the database is away" in done.stderr
    assert "hunter2" not in done.stderr

    class NoUsers:
        def execute(self, *args: Any) -> NoUsers:
            return self

        def fetchone(self) -> None:
            return None

    given = ["--code", "123456", "--token=abc", "--url", "https://me:hunter2@host/x", "--limit", "5"]
    kept = audited._harmless(given, NoUsers())  # type: ignore[arg-type]
    hidden = "(not recorded)"
    assert kept == ["--code", hidden, f"--token={hidden}", "--url", "https://me:…@host/x", "--limit", "5"]
    assert os.environ["DATABASE_URL"] != away
