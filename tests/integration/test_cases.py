"""Alerts become cases: what is found twice is one alert, what people decide is final, and all of it is audited."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, transaction
from django.test import Client
from django.urls import reverse

from exchange.base.env import env
from exchange.base.http import client_address
from exchange.base.ids import uuid7
from exchange.platform.members.models import Institution, Role, User
from risk.cases import dossier, evidence, workflow
from risk.cases.workflow import NotAllowed
from risk.models import Alert, Case, CaseNote, Parameters
from risk.models.cases import CLOSED, TRANSITIONS, State
from tests.staff import signed_in, staff

pytestmark = pytest.mark.django_db

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><circle r="4"/></svg>'


@pytest.fixture
def trader(db: None) -> User:
    bank = Institution.objects.create(code="bank", name="Bank")
    return User.objects.create_user("trader@test.exchange", institution=bank)


@pytest.fixture
def officer(db: None) -> User:
    return staff(Role.COMPLIANCE, email="officer@test.exchange")


Raise = Callable[..., Alert]


@pytest.fixture
def found(trader: User) -> Raise:
    def raise_it(**other: Any) -> Alert:
        given: dict[str, Any] = {
            "kind": "SPOOFING",
            "severity": 2,
            "user_id": str(trader.pk),
            "symbol": "BTC/USDT",
            "score": 0.7,
            "detail": {"cancelled": "12.5"},
            "evidence": {"orders": [{"id": "a", "side": "BUY"}], "picture": SVG},
            "dedup": "spoofing:1",
            "trace_id": "t",
        }
        with transaction.atomic():
            return workflow.raise_alert(**given | other)

    return raise_it


def outbox(topic: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT message, key FROM events_outboxevent WHERE topic = %s ORDER BY id", [topic])
        return [json.loads(message)["payload"] | {"key": key} for message, key in cursor.fetchall()]


def audited() -> list[tuple[str, str]]:
    return [(event["action"], event["actor"]) for event in outbox("audit.logs")]


# What is found


def test_an_alert_opens_a_case_and_tells(found: Raise, trader: User) -> None:
    alert = found()
    case = alert.case
    assert (case.state, case.kind, case.user, case.severity) == ("OPEN", "SPOOFING", trader, 2)
    assert (alert.evidence, alert.picture) == ({"orders": [{"id": "a", "side": "BUY"}]}, SVG)
    (told,) = outbox("risk.alerts")
    assert told == {
        "alert_id": str(alert.pk),
        "kind": "SPOOFING",
        "severity": 2,
        "user_id": str(trader.pk),
        "symbol": "BTC/USDT",
        "score": 0.7,
        "detail": {"cancelled": "12.5"},
        "key": str(trader.pk),
    }
    assert audited() == [("case.opened", "system"), ("case.alert", "system")]
    assert {event["key"] for event in outbox("audit.logs")} == {str(trader.institution_id)}


def test_the_same_finding_grows_its_alert_and_says_so_only_when_worse(found: Raise) -> None:
    found()
    found()  # nothing new: nothing written
    assert Alert.objects.get().times == 1 and len(outbox("audit.logs")) == 2
    found(evidence={"orders": [{"id": "b"}]})
    found(evidence={"orders": [{"id": "b"}], "trades": [{"id": "t"}]}, severity=4, score=0.2)
    alert = Alert.objects.get()
    assert alert.times == 3 and alert.picture == SVG
    assert (alert.severity, alert.score, alert.case.severity) == (4, 0.7, 4)
    assert [row["id"] for row in alert.evidence["orders"]] == ["a", "b"]
    assert [told["severity"] for told in outbox("risk.alerts")] == [2, 4]
    assert len(outbox("audit.logs")) == 4


def test_findings_of_one_kind_about_one_user_are_one_case(found: Raise, trader: User) -> None:
    first = found()
    assert found(dedup="spoofing:2", symbol="ETH/USDT").case == first.case
    assert found(kind="LAYERING").case != first.case
    other = User.objects.create_user("other@test.exchange", institution=trader.institution)
    assert found(user_id=str(other.pk), dedup="spoofing:3").case != first.case
    nobody = found(user_id=None, dedup="market:1")
    assert found(user_id=None, dedup="market:2").case != nobody.case
    assert outbox("risk.alerts")[-1]["key"] == "BTC/USDT"


def test_what_is_found_after_a_decision_is_a_new_case(found: Raise, officer: User) -> None:
    first = found()
    workflow.decide(first.case_id, verdict=State.CLOSED_DISMISSED, reason="a market maker", by=officer)
    again = found()
    assert again.pk != first.pk and again.case_id != first.case_id


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"picture": "<b>bold</b>"}, "SVG text"),
        ({"picture": "<svg>" + "x" * evidence.PICTURE_BYTES}, "at most"),
        ({"orders": ["a"]}, "orders: evidence is lists of rows"),
        ({"orders": {"id": "a"}}, "orders: evidence is lists of rows"),
    ],
)
def test_what_is_no_evidence_is_refused(found: Raise, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        found(evidence=given)
    assert not Case.objects.exists()


def test_evidence_is_bounded_and_the_latest_of_a_row_counts() -> None:
    many = {"trades": [{"id": str(number)} for number in range(evidence.MOST + 7)]}
    kept, _ = evidence.split(many)
    assert len(kept["trades"]) == evidence.MOST and kept["left_out"] == {"trades": 7}
    kept = evidence.merge(kept, {"trades": [{"id": "3", "price": "9"}, {"id": "new"}]})
    assert kept["trades"][3] == {"id": "3", "price": "9"} and kept["left_out"] == {"trades": 8}


def test_an_alert_without_an_open_transaction_is_refused(transactional_db: None) -> None:
    with pytest.raises(AssertionError, match="commits with"):
        workflow.raise_alert(
            kind="A",
            severity=1,
            user_id=None,
            symbol=None,
            score=0,
            detail={},
            evidence={},
            dedup="a",
            trace_id="",
        )


def test_two_who_find_the_same_at_once_raise_one_alert(transactional_db: None, found: Raise) -> None:
    start, errors = threading.Barrier(6), []

    def find(number: int) -> None:
        try:
            start.wait()
            found(dedup=f"d{number % 2}", evidence={"orders": [{"id": number}]})
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=find, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not errors
    assert Case.objects.count() == 1 and Alert.objects.count() == 2
    assert sorted(row["id"] for alert in Alert.objects.all() for row in alert.evidence["orders"]) == [
        *range(6)
    ]


# What people do


def test_a_case_goes_its_way_and_each_step_is_audited(found: Raise, officer: User) -> None:
    case = found().case
    workflow.assign(case.pk, to=officer, by=officer, address="10.0.0.9")
    workflow.note(case.pk, text=" asked the desk ", by=officer)
    workflow.release(case.pk, by=officer)
    workflow.assign(case.pk, to=officer, by=officer)
    workflow.assign(case.pk, to=officer, by=officer)  # is so already
    workflow.decide(case.pk, verdict=State.CLOSED_CONFIRMED, reason="no other explanation", by=officer)
    case.refresh_from_db()
    assert (case.state, case.assignee, case.decided_by) == ("CLOSED_CONFIRMED", officer, officer)
    assert case.decided_at is not None and CaseNote.objects.get().text == "asked the desk"
    did = ["case.assigned", "case.noted", "case.released", "case.assigned", "case.decided"]
    assert audited()[2:] == [(action, str(officer.pk)) for action in did]
    last, first = outbox("audit.logs")[-1], outbox("audit.logs")[2]
    assert last["old"]["state"] == "INVESTIGATING" and last["new"]["state"] == "CLOSED_CONFIRMED"
    assert last["new"]["reason"] == "no other explanation" and last["resource"] == f"case/{case.pk}"
    assert (first["address"], first["role"]) == ("10.0.0.9", "COMPLIANCE")


def test_every_way_that_is_not_in_the_table_is_refused(found: Raise, officer: User) -> None:
    """From each state, by each verb, against the table."""
    for state in State:
        case = found(dedup=uuid7()).case
        if state is not State.OPEN and state is not State.CLOSED_DISMISSED:
            workflow.assign(case.pk, to=officer, by=officer)
        if state in CLOSED:
            workflow.decide(case.pk, verdict=state, reason="so", by=officer)
        verbs: dict[State, Callable[[], object]] = {
            State.OPEN: partial(workflow.release, case.pk, by=officer)
        }
        for to in CLOSED:
            verbs[to] = partial(workflow.decide, case.pk, verdict=to, reason="so", by=officer)
        for to, verb in verbs.items():
            try:
                with transaction.atomic():
                    verb()
                    transaction.set_rollback(True)
                allowed = True
            except NotAllowed:
                allowed = False
            assert allowed is (to in TRANSITIONS[state]), (state, to)
        if state not in CLOSED:
            workflow.decide(case.pk, verdict=State.CLOSED_DISMISSED, reason="so", by=officer)


def test_no_decision_without_a_reason_and_no_case_for_outsiders(
    found: Raise, officer: User, trader: User
) -> None:
    case = found().case
    with pytest.raises(NotAllowed, match="needs its reason"):
        workflow.decide(case.pk, verdict=State.CLOSED_DISMISSED, reason="  ", by=officer)
    with pytest.raises(NotAllowed, match="is no decision"):
        workflow.decide(case.pk, verdict=State.OPEN, reason="so", by=officer)
    with pytest.raises(NotAllowed, match="not of the staff"):
        workflow.assign(case.pk, to=trader, by=officer)
    with pytest.raises(workflow.NoSuchCase, match="no case 12345"):
        workflow.note(12345, text="a", by=officer)
    assert audited() == [("case.opened", "system"), ("case.alert", "system")]


# What the database enforces, whoever the client is


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE risk_case SET state = 'OPEN', reason = '', decided_by_id = NULL, decided_at = NULL WHERE id = {case}",
        "UPDATE risk_case SET reason = 'another' WHERE id = {case}",
        "UPDATE risk_case SET rank = 1 WHERE id = {case}",
        "UPDATE risk_alert SET detail = '{{}}' WHERE case_id = {case}",
        "UPDATE risk_alert SET case_id = {other} WHERE case_id = {case}",
        "UPDATE risk_alert SET case_id = {case} WHERE case_id = {other}",
        "UPDATE risk_casenote SET text = 'another' WHERE case_id = {case}",
        "UPDATE risk_casenote SET case_id = {other} WHERE case_id = {case}",
        "INSERT INTO risk_casenote (case_id, author_id, text, written_at) VALUES ({case}, '{officer}', 'late', now())",
        "INSERT INTO risk_alert SELECT gen_random_uuid(), kind, severity, symbol, score, detail, evidence, picture, "
        "'new', times, trace_id, raised_at, updated_at, user_id, case_id FROM risk_alert WHERE case_id = {case}",
        "DELETE FROM risk_casenote WHERE case_id = {case}",
        "DELETE FROM risk_alert WHERE case_id = {case}",
        "DELETE FROM risk_case WHERE id = {other}",
        "TRUNCATE risk_case CASCADE",
    ],
)
def test_a_closed_case_is_final_for_psql_too(found: Raise, officer: User, statement: str) -> None:
    case, other = found().case, found(kind="LAYERING", dedup="l").case
    workflow.note(case.pk, text="seen", by=officer)
    workflow.decide(case.pk, verdict=State.CLOSED_DISMISSED, reason="so", by=officer)
    text = statement.format(case=case.pk, other=other.pk, officer=officer.pk)
    refused = pytest.raises(DatabaseError, match=r"final|stays with case|is kept as it is")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # or TRUNCATE would fail for what waits to be checked
        cursor.execute(text)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"state": "CLOSED_CONFIRMED"}, "case_closes_with_a_reason"),
        ({"reason": "so"}, "case_closes_with_a_reason"),
        ({"state": "INVESTIGATING"}, "case_is_somebodys"),
    ],
)
def test_a_case_that_makes_no_sense_is_refused(found: Raise, change: dict[str, Any], rule: str) -> None:
    case = found().case
    with pytest.raises(DatabaseError, match=rule), transaction.atomic():
        Case.objects.filter(pk=case.pk).update(**change)


# The command


def run(*arguments: str) -> Any:
    out = StringIO()
    call_command("cases", *arguments, "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def test_the_command_lists_the_worst_first_and_decides(found: Raise, officer: User) -> None:
    mild, bad = found(severity=1).case, found(kind="LAYERING", severity=4, dedup="l").case
    assert [item["case"] for item in run("--list")["items"]] == [bad.pk, mild.pk]
    by = ("--by", officer.email)
    assert run("--assign", str(bad.pk), *by, "--dry-run")["assignee"] == officer.email
    assert Case.objects.get(pk=bad.pk).state == "OPEN"
    assert run("--assign", str(bad.pk), *by)["state"] == "INVESTIGATING"
    run("--note", str(bad.pk), "--text", "seen", *by)
    decision = ("--decide", str(bad.pk), "--verdict", "confirmed", "--reason", "clear", *by)
    assert run(*decision)["state"] == "CLOSED_CONFIRMED"
    shown = run("--show", str(bad.pk))
    assert (shown["reason"], shown["decided_by"], shown["may_become"]) == ("clear", officer.email, [])
    assert shown["alerts"][0]["evidence"]["orders"][0]["id"] == "a" and shown["notes"][0]["text"] == "seen"
    assert [item["case"] for item in run("--list", "--state", "CLOSED_CONFIRMED")["items"]] == [bad.pk]
    with pytest.raises(SystemExit) as ended:
        run(*decision)
    assert ended.value.code == 1
    out = StringIO()
    call_command("cases", "--show", str(bad.pk), stdout=out)
    assert "orders: 1 rows" in out.getvalue() and "decided by officer@test.exchange: clear" in out.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--show", "77"),
        ("--assign", "77", "--by", "officer@test.exchange"),
        ("--assign", "1"),
        ("--assign", "1", "--by", "nobody@test.exchange"),
        ("--assign", "1", "--by", "trader@test.exchange"),
        ("--decide", "1", "--by", "officer@test.exchange"),
    ],
)
def test_bad_usage_of_the_command(trader: User, officer: User, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as refused:
        run(*arguments)
    assert refused.value.returncode == 2


# The admin


@pytest.fixture
def operator(officer: User) -> Client:
    return signed_in(officer)


def page(case: Case) -> str:
    return reverse("admin:risk_case_change", args=[case.pk])


def act(client: Client, case: Case, verb: str, **data: str) -> Any:
    return client.post(reverse("admin:risk_case_act", args=[case.pk, verb]), data, follow=True)


def test_a_case_page_shows_evidence_and_picture_safely(found: Raise, operator: Client) -> None:
    case = found(
        detail={"note": "<script>x</script>"}, evidence={"orders": [{"id": "<b>"}], "picture": SVG}
    ).case
    listed = operator.get(reverse("admin:risk_case_changelist")).content.decode()
    assert page(case) in listed
    text = operator.get(page(case)).content.decode()
    assert dossier.picture(case.alerts.get(), {}) in text and text.count("data:image/svg+xml;base64,") == 1
    assert "&lt;script&gt;x" in text and "<script>x" not in text
    assert "&lt;b&gt;" in text and "Assign to me" in text
    assert operator.get(reverse("admin:risk_alert_changelist")).status_code == 200
    assert operator.get(reverse("admin:risk_alert_change", args=[case.alerts.get().pk])).status_code == 200


def test_an_operator_takes_notes_and_decides_a_case(found: Raise, operator: Client, officer: User) -> None:
    case = found().case
    assert f"Case {case.pk} is yours." in act(operator, case, "assign").content.decode()
    act(operator, case, "note", text="seen")
    assert "needs its reason" in act(operator, case, "decide", verdict="CLOSED_CONFIRMED").content.decode()
    assert "choose a verdict" in act(operator, case, "decide", verdict="OPEN", reason="so").content.decode()
    closed = act(operator, case, "decide", verdict="CLOSED_CONFIRMED", reason="clear").content.decode()
    assert "What next" not in closed and "clear" in closed and "seen" in closed
    assert "is closed: it is final" in act(operator, case, "note", text="late").content.decode()
    listed = reverse("admin:risk_case_changelist")
    assert page(case) not in operator.get(listed).content.decode()
    assert page(case) in operator.get(f"{listed}?state=CLOSED_CONFIRMED").content.decode()
    assert outbox("audit.logs")[-1]["address"] == "127.0.0.1"


def test_the_record_has_the_address_that_our_proxy_tells(
    found: Raise, operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = env.model_copy(update={"exchange_forwarded_header": "X-Forwarded-For"})
    monkeypatch.setattr(client_address, "env", told)
    answer = operator.post(
        reverse("admin:risk_case_act", args=[found().case.pk, "assign"]),
        headers={"x-forwarded-for": "203.0.113.7"},
    )
    assert answer.status_code == 302
    assert outbox("audit.logs")[-1]["address"] == "203.0.113.7"


def test_who_may_only_look_changes_nothing(found: Raise, officer: User) -> None:
    case = found().case
    client = signed_in(staff(Role.AUDITOR))
    seen = client.get(page(case))
    assert seen.status_code == 200 and "Assign to me" not in seen.content.decode()
    assert act(client, case, "assign").status_code == 403
    assert client.get(reverse("admin:risk_case_act", args=[case.pk, "assign"])).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = signed_in(officer).cookies
    assert act(strict, case, "assign").status_code == 403
    assert act(client, case, "shred").status_code == 404
    assert Case.objects.get().state == "OPEN"


def test_evidence_shows_staff_of_an_institution_their_own_side(found: Raise, trader: User) -> None:
    other_bank = Institution.objects.create(code="other", name="Other")
    other = User.objects.create_user("other@test.exchange", institution=other_bank)
    ours, theirs, trade = (str(uuid4()) for _ in range(3))
    evidence = {
        "users": [{"id": str(trader.pk), "bought": "7"}, {"id": str(other.pk), "bought": "8.8125"}],
        "trades": [{"id": trade, "buyer": str(trader.pk), "seller": str(other.pk)}],
        "orders": [{"id": ours, "user": str(trader.pk)}, {"id": f"{theirs}@9", "user": str(other.pk)}],
        "picture": SVG,
    }
    case = found(evidence=evidence, detail={"with": [str(other.pk)]}).case
    own = signed_in(staff(Role.COMPLIANCE, trader.institution)).get(page(case)).content.decode()
    for hidden in (str(other.pk), "other@test.exchange", theirs, "8.8125", "data:image"):
        assert hidden not in own, hidden
    for shown in (trader.email, ours, trade, "another institution", "1 more that are not kept"):
        assert shown in own, shown
    everything = signed_in(staff(Role.AUDITOR)).get(page(case)).content.decode()
    assert all(text in everything for text in (other.email, theirs, "8.8125", "data:image"))
    elsewhere = signed_in(staff(Role.COMPLIANCE, other_bank))
    assert elsewhere.get(page(case)).status_code == 302
    assert elsewhere.post(reverse("admin:risk_case_act", args=[case.pk, "assign"])).status_code == 404
    assert Case.objects.get(pk=case.pk).assignee is None


@pytest.mark.parametrize("model", ["position", "portfolio", "score", "parameters"])
def test_the_pages_of_portfolios_open(trader: User, model: str) -> None:
    from risk.models import Portfolio, Position, Score

    Position.objects.create(user=trader, symbol="BTC/USDT", quantity=3, cost=100)
    Portfolio.objects.create(user=trader, value=7, concentration=0.5)
    Score.objects.create(user=trader, score=9)
    Parameters.objects.create()
    operator = signed_in(staff(Role.AUDITOR))
    keys = {"position": Position.objects.get().pk, "parameters": 1}
    assert operator.get(reverse(f"admin:risk_{model}_changelist")).status_code == 200
    answer = operator.get(reverse(f"admin:risk_{model}_change", args=[keys.get(model, trader.pk)]))
    assert answer.status_code == 200


def test_a_change_of_parameters_is_audited() -> None:
    admin = staff(Role.PLATFORM_ADMIN)
    operator = signed_in(admin)
    given = {
        "currency": "USDT",
        "interval": "1d",
        "horizon": "1",
        "least_observations": "100",
        "most_observations": "500",
        "decay": "0.94",
        "concentration": "0.4",
        "least_value": "1000",
        "full_var": "0.2",
        "refresh_minutes": "15",
    }
    answer = operator.post(reverse("admin:risk_parameters_add"), given)
    assert answer.status_code == 302, answer.context["errors"]
    page = reverse("admin:risk_parameters_change", args=[Parameters.objects.get().pk])
    assert operator.post(page, given | {"concentration": "0.5"}).status_code == 302
    made, changed = [each for each in outbox("audit.logs") if each["resource"].startswith("parameters/")]
    assert (made["action"], made["actor"], made["key"]) == ("admin.add", str(admin.pk), "platform")
    assert (changed["old"]["concentration"], changed["new"]["concentration"]) == ("0.4", "0.5")
    assert operator.get(reverse("admin:risk_parameters_add")).status_code == 403
