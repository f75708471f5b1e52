"""Surveillance on a real database: real orders and trades, through the event stream's own messages, become cases."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import msgspec
import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from exchange.operations import event_dispatch
from exchange.platform.events import exactly_once
from exchange.platform.events.event import Event, Poison, read
from exchange.platform.members.models import Institution, Role, User
from matching.core.types import TimeInForce
from risk import tasks
from risk.cases import workflow
from risk.detectors.records import DAY
from risk.detectors.wash_rings import WASH_RING
from risk.detectors.wash_trades import WASH_TRADE
from risk.models import (
    Alert,
    Case,
    OwnerLink,
    RaisedFinding,
    SeenTrade,
    ShownOrder,
    SurveillanceCursor,
    SurveillanceRule,
)
from risk.models.cases import State
from risk.surveillance import history, ingestion, ranking, run
from tests.market import PATIENCE, SYMBOL, Desk, open_desk, sql
from tests.staff import signed_in, staff

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(transactional_db: None) -> Iterator[Desk]:
    with open_desk() as desk:
        yield desk


def events() -> list[Event]:
    """What the outbox has for consumers, in order."""
    rows = sql("SELECT topic, key, message FROM events_outboxevent ORDER BY id")
    return [read(topic, key.encode(), message.encode()) for topic, key, message in rows]


def consume() -> int:
    """All that the group `surveillance` handles, by the dispatch table; how much of it was new."""
    table = event_dispatch.handlers("surveillance")
    work = [(table[key], event) for event in events() if (key := (event.topic, event.event_type)) in table]
    return exactly_once.handle("surveillance", work)


def rich(desk: Desk, count: int) -> list[str]:
    return [desk.user(BTC="100", USDT="100000") for _ in range(count)]


def pass_round(desk: Desk, users: list[str], rounds: int = 4, quantity: str = "1.5") -> None:
    for _ in range(rounds):
        for seller, buyer in zip(users, [*users[1:], users[0]], strict=True):
            desk.trade(seller, "SELL", quantity, "100")
            desk.trade(buyer, "BUY", quantity, "100")


def spoof(desk: Desk, spoofer: str, victim: str, layers: int = 1) -> None:
    """A small bid gets its fill while large offers stand above it, and then they go."""
    desk.trade(spoofer, "BUY", "0.1", "100")
    walls = [desk.trade(spoofer, "SELL", "5", f"100.{n + 1}") for n in range(layers)]
    desk.trade(victim, "SELL", "0.1", "100")
    desk.match(*(desk.cancel(wall) for wall in walls))


def test_a_ring_becomes_a_case_with_its_evidence(desk: Desk) -> None:
    users = rich(desk, 3)
    pass_round(desk, users)
    assert consume() > 0
    assert consume() == 0
    looked = run.everything()
    assert [finding.kind for finding in looked.findings] == [WASH_RING]

    alert = Alert.objects.get()
    assert (alert.kind, alert.symbol, alert.severity) == ("WASH_RING", SYMBOL, 3)
    assert str(alert.user_id) in users
    assert alert.detail["members"] == 3
    assert alert.detail["quantity"] == "18"
    known = {str(pk) for (pk,) in sql("SELECT id FROM trading_trade")}
    assert {row["id"] for row in alert.evidence["trades"]} == known
    assert len(alert.evidence["orders"]) == 24
    assert {row["id"]: (row["bought"], row["sold"]) for row in alert.evidence["users"]} == dict.fromkeys(
        users, ("6", "6")
    )
    assert alert.picture.startswith("<svg")
    assert alert.picture.count("<circle") == 3
    (told,) = [event for event in events() if event.event_type == "RISK_ALERT"]
    assert told.payload["alert_id"] == str(alert.pk)


def test_it_is_raised_again_only_for_something_new_whatever_became_of_the_case(desk: Desk) -> None:
    users = rich(desk, 3)
    officer = staff(Role.COMPLIANCE)
    pass_round(desk, users)
    consume()
    run.everything()
    assert run.everything().findings == []
    with transaction.atomic():
        workflow.decide(Case.objects.get().pk, verdict=State.CLOSED_DISMISSED, reason="a test", by=officer)
    assert run.everything().findings == []
    assert Case.objects.count() == 1
    pass_round(desk, users, rounds=1)
    consume()
    assert len(run.everything().findings) == 1
    assert Case.objects.filter(state=State.OPEN).count() == 1
    assert Alert.objects.count() == 2


@pytest.mark.parametrize(("layers", "kind"), [(1, "SPOOFING"), (4, "LAYERING")])
def test_withdrawn_depth_against_own_fills_becomes_a_case(desk: Desk, layers: int, kind: str) -> None:
    spoofer, victim = rich(desk, 2)
    for n in range(3):
        desk.trade(victim, "BUY", "0.5", f"9{n}")  # others show something too
    for _ in range(2):
        spoof(desk, spoofer, victim, layers)
    consume()
    run.everything()
    alert = Alert.objects.get()
    assert (alert.kind, str(alert.user_id)) == (kind, spoofer)
    assert alert.detail["episodes"] == 2
    assert alert.detail["withdrawn"] == str(10 * layers)
    deceptive = [row for row in alert.evidence["orders"] if row["side"] == "SELL"]
    assert len(deceptive) == 2 * layers
    assert all(row["withdrawn"] == "5" and row["closed"] for row in deceptive)
    assert "withdrawn" in alert.picture


def test_what_the_book_showed_is_kept_price_by_price(desk: Desk) -> None:
    alice, bob = rich(desk, 2)
    order = desk.trade(alice, "SELL", "10", "100")
    desk.trade(bob, "BUY", "4", "100")
    desk.match(desk.amend(order, price="101"))
    desk.match(desk.amend(order, quantity="7"))
    desk.trade(bob, "BUY", "1", "101")
    desk.match(desk.cancel(order))
    desk.trade(bob, "BUY", "1", "100", time_in_force=TimeInForce.IOC)  # finds no seller, and never rests
    assert len(events()) > consume()
    columns = ("leg", "price", "quantity", "filled", "withdrawn")
    kept = list(ShownOrder.objects.filter(order_id=order).order_by("leg").values_list(*columns))
    assert kept == [(0, 100, 10, 4, 6), (1, 101, 6, 0, 3), (2, 101, 3, 1, 2)]
    assert not ShownOrder.objects.filter(closed_at=None).exists()
    assert not ShownOrder.objects.filter(user_id=bob).exists()
    times = list(ShownOrder.objects.order_by("leg").values_list("opened_at", "closed_at"))
    assert times == sorted(times)
    assert [start for start, _ in times[1:]] == [end for _, end in times[:-1]]
    assert SeenTrade.objects.count() == 2


def test_accounts_of_one_owner_must_not_trade_with_each_other(desk: Desk) -> None:
    one, other, stranger = rich(desk, 3)
    for _ in range(3):
        desk.trade(one, "SELL", "2", "100")
        desk.trade(other, "BUY", "2", "100")
    desk.trade(stranger, "SELL", "1", "100")
    desk.trade(other, "BUY", "1", "100")
    consume()
    assert run.everything().findings == []
    for user in (one, other):
        OwnerLink.objects.create(user_id=user, owner_key="family")
    (finding, *again) = run.everything().findings
    assert again == []
    assert (finding.kind, set(finding.users)) == (WASH_TRADE, {one, other})
    assert {row["owner"] for row in Alert.objects.get().evidence["users"]} == {"family"}


def test_thresholds_are_an_institutions_own(desk: Desk) -> None:
    users = rich(desk, 3)
    other = Institution.objects.create(code="other", name="Other")
    pass_round(desk, users)
    consume()
    rule = SurveillanceRule.objects.create(institution=desk.institution, kind="WASH_RING", enabled=False)
    assert run.everything().findings == []
    User.objects.filter(pk=users[0]).update(institution=other)  # now another institution's user is among them
    assert len(run.everything().findings) == 1
    RaisedFinding.objects.all().delete()
    SurveillanceRule.objects.create(kind="WASH_RING", severity=4, thresholds={"least_trades": 5})
    assert run.everything().findings == []
    rule.enabled, rule.severity, rule.thresholds = True, 1, {"least_trades": 4}
    rule.save()
    assert len(run.everything().findings) == 1
    with pytest.raises(ValidationError, match="least_trades"):
        SurveillanceRule(kind="WASH_RING", thresholds={"least_trades": 0}).full_clean()


def test_a_job_waits_for_its_turn_and_for_news(desk: Desk) -> None:
    users = rich(desk, 3)
    pass_round(desk, users)
    consume()
    assert tasks.surveil() == 1
    assert run.due(60).jobs <= len(ingestion.JOBS)
    assert run.due(60) == run.Looked(0, [])
    SurveillanceCursor.objects.update(looked_at=datetime.now(UTC) - timedelta(minutes=2))
    assert run.due(60).jobs == 2  # orders and hour; day and week have time
    assert run.due(0).jobs == 0


def test_two_workers_do_not_do_the_same_job(desk: Desk) -> None:
    pass_round(desk, rich(desk, 3))
    consume()
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                list(SurveillanceCursor.objects.select_for_update())
                held.set()
                release.wait(PATIENCE)
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(PATIENCE)
        assert run.look(SYMBOL, "hour") == []
    finally:
        release.set()
        thread.join()
    assert len(run.look(SYMBOL, "hour")) == 1


def test_what_is_too_old_is_pruned(desk: Desk) -> None:
    alice, bob = rich(desk, 2)
    desk.trade(alice, "SELL", "2", "100")
    desk.trade(bob, "BUY", "1", "100")
    desk.match(desk.cancel_all(alice))
    desk.trade(alice, "SELL", "1", "100")
    consume()
    now = history.micros(datetime.now(UTC))
    assert history.prune(now) == 0
    assert history.prune(now + 3 * DAY) == 1
    assert (SeenTrade.objects.count(), ShownOrder.objects.count()) == (1, 1)
    assert history.prune(now + 8 * DAY) == 1
    assert history.prune(now + 91 * DAY) == 1
    assert tasks.prune_surveillance() == 0


def test_nonsense_is_poison(desk: Desk) -> None:
    alice, bob = rich(desk, 2)
    desk.trade(alice, "SELL", "2", "100")
    desk.trade(bob, "BUY", "1", "100")
    for event in events():
        keep = {"TRADE_EXECUTED": ingestion.keep_trades, "ORDER_STATUS_CHANGED": ingestion.keep_orders}.get(
            event.event_type
        )
        for name, value in (("price", "much"), ("quantity", None), ("symbol", ...)) if keep else ():
            payload = {key: old for key, old in event.payload.items() if key != name}
            broken = msgspec.structs.replace(
                event, payload=payload if value is ... else {**payload, name: value}
            )
            with pytest.raises(Poison), transaction.atomic():
                keep([broken])  # type: ignore[misc]
    assert not SeenTrade.objects.exists()
    assert not ShownOrder.objects.exists()


def test_the_queue_is_ranked_by_how_unusual_people_are(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = rich(desk, 12)
    odd = crowd[0]
    for n, user in enumerate(crowd[1:]):
        desk.trade(user, "SELL", "1", "100")
        desk.trade(crowd[1 + (n + 1) % 11], "BUY", "1", "100")
    for _ in range(10):
        desk.match(desk.cancel(desk.trade(odd, "BUY", "90", "50")))
    consume()
    with transaction.atomic():
        for user in (odd, crowd[5]):
            workflow.raise_alert(
                kind="SPOOFING",
                severity=2,
                user_id=user,
                symbol=SYMBOL,
                score=0.5,
                detail={},
                evidence={},
                dedup=user,
                trace_id="",
            )
    assert set(ranking.features()) == set(crowd)
    assert tasks.rank_cases() == 2
    ranks = {str(case.user_id): case.rank or 0.0 for case in Case.objects.all()}
    assert ranks[odd] > ranks[crowd[5]] > 0
    assert Alert.objects.count() == 2  # it raises nothing
    assert ranking.rank_cases() == 2
    assert {str(case.user_id): case.rank for case in Case.objects.all()} == ranks
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    assert tasks.rank_cases() == 0
    with pytest.raises(CommandError, match=r"\[surveillance\]"):
        call_command("surveillance", "--rank")


def test_the_command_looks_now_and_says_what_it_raised(desk: Desk) -> None:
    users = rich(desk, 2)
    pass_round(desk, users)
    consume()
    out = StringIO()
    call_command("surveillance", "--run", "--json", stdout=out)
    document = json.loads(out.getvalue())
    assert document["jobs"] == len(ingestion.JOBS)
    (raised,) = document["raised"]
    assert (raised["kind"], raised["market"], sorted(raised["users"])) == ("WASH_RING", SYMBOL, sorted(users))
    out = StringIO()
    call_command("surveillance", "--run", stdout=out)
    assert out.getvalue().strip() == "4 jobs, 0 raised"
    with pytest.raises(CommandError) as refused:
        call_command("surveillance", "--evaluate", "--rounds", "0")
    assert refused.value.returncode == 2


# -- the operators' pages


@pytest.fixture
def operator(desk: Desk) -> Client:
    ContentType.objects.clear_cache()
    return signed_in(staff())


def audited(resource: str) -> list[dict[str, Any]]:
    """What the audit log has of the page."""
    told = [event.payload for event in events() if event.event_type == "AUDIT"]
    return [each for each in told if each["resource"] == resource]


def test_an_operator_sets_thresholds_within_bounds(operator: Client) -> None:
    plain: dict[str, Any] = {"kind": "SPOOFING", "enabled": "on", "severity": "2"}
    answer = operator.post(reverse("admin:risk_surveillancerule_add"), plain)
    rule = SurveillanceRule.objects.get()
    page = reverse("admin:risk_surveillancerule_change", args=[rule.pk])
    assert (answer.status_code, answer.headers["Location"]) == (302, page)
    shown = operator.get(page).content.decode()
    assert "bait as a multiple of the market" in shown
    assert 'name="least_imbalance"' in shown

    wrong = operator.post(page, {"enabled": "on", "severity": "2", "least_imbalance": "1.5"})
    assert "least_imbalance" in wrong.content.decode()
    assert wrong.status_code == 200
    assert (
        operator.post(page, {"severity": "4", "least_imbalance": "0.9", "window": "600"}).status_code == 302
    )
    rule.refresh_from_db()
    assert rule.thresholds == {"least_imbalance": 0.9, "window": 600}
    assert (rule.enabled, rule.severity, rule.kind) == (False, 4, "SPOOFING")
    operator.post(reverse("admin:risk_surveillancerule_delete", args=[rule.pk]), {"post": "yes"})
    assert not SurveillanceRule.objects.exists()
    told = audited(f"surveillancerule/{rule.pk}")
    assert [each["action"] for each in told] == ["admin.add", "admin.change", "admin.delete"]
    assert told[1]["old"]["thresholds"] == {}
    assert told[1]["new"]["thresholds"] == {"least_imbalance": "0.9", "window": 600}


def test_an_operator_says_who_belongs_together(operator: Client, desk: Desk) -> None:
    user = desk.user()
    page = reverse("admin:risk_ownerlink_add")
    operator.post(page, {"user": user, "owner_key": "family-7", "note": "one address"})
    assert history.owners() == {user: "family-7"}
    (told,) = audited(f"ownerlink/{OwnerLink.objects.get().pk}")
    assert (told["action"], told["institution"]) == ("admin.add", str(desk.institution.pk))
    assert "family-7" in operator.get(reverse("admin:risk_ownerlink_changelist")).content.decode()


def test_exact_amounts_stay_exact(desk: Desk) -> None:
    alice, bob = rich(desk, 2)
    desk.trade(alice, "SELL", "0.0001", "33333.33")
    desk.trade(bob, "BUY", "0.0001", "33333.33")
    consume()
    (trade,) = history.trades(SYMBOL, 0, history.micros(datetime.now(UTC)) + DAY)
    assert (trade.price, trade.quantity) == (Decimal("33333.33"), Decimal("0.0001"))
    assert (trade.buyer, trade.seller, trade.buyer_is_maker) == (bob, alice, False)
