"""The pre-trade gate on a real database and a real Redis, and with Redis away; the kill switch; the dead-man switch."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import redis
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from django.utils import timezone
from redis.backoff import NoBackoff
from redis.retry import Retry

from exchange.base.database import own_connection
from exchange.base.redis import Circuit
from exchange.base.redis import client as redis_client
from exchange.platform.audit.models import Record
from exchange.platform.events.models import OutboxEvent
from exchange.platform.members.models import Institution, User
from matching.codec import Envelope
from risk.models import Block, DeadMan, Limit, Score
from risk.pretrade import dead_man_switch, exposure, gate, kill_switch, reference_prices
from risk.pretrade.gate import Refusal
from risk.pretrade.refresher import refresher
from tests.market import SYMBOL, Desk, open_desk, sql
from trading.models import Order, PendingCommand
from trading.orders import amendment_terms, pretrade
from trading.orders.acceptance import accept
from trading.orders.batch import AcceptedBatch
from trading.orders.candidates import prepare
from trading.orders.dispatch import Dispatcher
from trading.orders.forced_cancels import cancel_due
from trading.orders.order import NewOrder

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with open_desk() as desk:
        gate.rules.clear_cache()
        reference_prices.clear_cache()
        yield desk
        gate.rules.clear_cache()


@pytest.fixture(params=["redis", "without redis"])
def counting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Counts come from Redis, or from PostgreSQL."""
    if request.param != "redis":
        dead = redis.Redis(port=1, socket_connect_timeout=0.1, retry=Retry(NoBackoff(), 0))
        monkeypatch.setattr(gate, "client", lambda: dead)
        monkeypatch.setattr(gate, "_circuit", Circuit())
    return str(request.param)


def limit(**fields: Any) -> Limit:
    made = Limit.objects.create(**fields)
    gate.rules.clear_cache()
    return made


def send(desk: Desk, *drafts: NewOrder) -> AcceptedBatch:
    """As intake does it."""
    candidates = prepare(drafts, desk.member(drafts[0].user_id))
    with pretrade.judged(own_connection(), candidates) as judgement:
        accepted = accept(own_connection(), candidates, [])
        judgement.keep(accepted.pending)
    return accepted


def refused(desk: Desk, *drafts: NewOrder) -> list[str | None]:
    """Of each draft why it was turned away."""
    accepted = send(desk, *drafts)
    reasons = {c.draft.client_order_id: c.reason for c in accepted.pending + accepted.rejected}
    return [reasons[draft.client_order_id] for draft in drafts]


def match(desk: Desk, *envelopes: Envelope) -> None:
    """With Redis told, as a worker does."""
    desk.worker._connected = True
    desk.match(*envelopes)


def test_nobody_is_limited_at_first(desk: Desk) -> None:
    assert gate.idle(own_connection())
    assert refused(desk, desk.draft(desk.user(USDT="1000"), "BUY", "1", "100")) == [None]


def test_open_orders_are_counted_until_they_close(desk: Desk, counting: str) -> None:
    alice, bob = desk.user(USDT="10000"), desk.user(BTC="10")
    limit(institution=desk.institution, max_open_orders=2)
    first = send(desk, *(desk.draft(alice, "BUY", "1", "100") for _ in range(3)))
    assert [c.reason for c in first.rejected] == [Refusal.MAX_OPEN_ORDERS]
    match(desk, *(c.envelope("") for c in first.pending))
    assert refused(desk, desk.draft(alice, "BUY", "1", "90")) == ["MAX_OPEN_ORDERS"]
    assert refused(desk, desk.draft(bob, "SELL", "1", "200")) == [None], "each user has a count of their own"
    match(desk, desk.cancel(first.pending[0].order_id))
    assert refused(desk, desk.draft(alice, "BUY", "1", "90")) == [None]
    stored = Order.objects.get(reason="MAX_OPEN_ORDERS", price=90)
    assert (stored.status, stored.held) == ("REJECTED", 0)


def test_orders_that_are_turned_away_for_another_reason_are_not_counted(desk: Desk, counting: str) -> None:
    alice = desk.user(USDT="100")
    limit(institution=desk.institution, max_open_orders=1)
    assert refused(desk, desk.draft(alice, "BUY", "5", "100")) == ["INSUFFICIENT_FUNDS"]
    placed = desk.draft(alice, "BUY", "1", "100", client_order_id="one")
    assert refused(desk, placed) == [None]
    assert len(send(desk, placed).known) == 1, "a retry finds its order, whatever the limits say"


def test_what_was_traded_today_counts_for_both_sides(desk: Desk, counting: str) -> None:
    alice, bob = desk.user(USDT="10000"), desk.user(BTC="10")
    limit(currency="USDT", max_daily_notional=Decimal(250))
    sold, bought = (send(desk, desk.draft(*order, "1", "100")) for order in ((bob, "SELL"), (alice, "BUY")))
    match(desk, *(c.envelope("") for accepted in (sold, bought) for c in accepted.pending))
    assert Order.objects.filter(status="FILLED").count() == 2
    assert refused(desk, desk.draft(alice, "BUY", "1.6", "100")) == ["MAX_DAILY_NOTIONAL"]
    assert refused(desk, desk.draft(bob, "SELL", "1.6", "100")) == ["MAX_DAILY_NOTIONAL"]
    assert refused(desk, desk.draft(bob, "SELL", "1.5", "100")) == [None]


def test_a_position_is_what_is_owned_and_what_is_on_order(desk: Desk, counting: str) -> None:
    alice = desk.user(USDT="10000", BTC="1")
    limit(user_id=alice, symbol=SYMBOL, max_position=Decimal(3))
    assert refused(desk, desk.draft(alice, "BUY", "1.5", "100")) == [None]
    assert refused(desk, desk.draft(alice, "BUY", "0.6", "100")) == ["MAX_POSITION"]
    assert refused(desk, desk.draft(alice, "BUY", "0.5", "100")) == [None]
    assert refused(desk, desk.draft(alice, "SELL", "1", "200")) == [None]


def test_an_order_has_a_ceiling_and_the_closest_limit_decides(desk: Desk) -> None:
    alice, bob = desk.user(USDT="10000"), desk.user(USDT="10000")
    limit(currency="USDT", max_order_notional=Decimal(100))
    limit(institution=desk.institution, symbol=SYMBOL, max_order_notional=Decimal(200))
    limit(user_id=bob, currency="USDT", max_order_notional=Decimal(500))
    assert refused(desk, desk.draft(alice, "BUY", "2", "100")) == [None]
    assert refused(desk, desk.draft(alice, "BUY", "2.001", "100")) == ["MAX_ORDER_NOTIONAL"]
    assert refused(desk, desk.draft(bob, "BUY", "5", "100")) == [None]


def test_a_price_far_from_the_reference_is_refused(desk: Desk) -> None:
    alice = desk.user(USDT="10000")
    limit(symbol=SYMBOL, price_band=Decimal("0.1"))
    assert refused(desk, desk.draft(alice, "BUY", "1", "50")) == [None], "nobody vouches for a price"
    told = {"symbol": SYMBOL, "price": "100", "stale": False}
    redis_client().set(f"price:{SYMBOL}", json.dumps(told))
    reference_prices.clear_cache()
    assert refused(desk, *(desk.draft(alice, "BUY", "1", price) for price in ("89.9", "90", "110", "110.1"))) == [
        "PRICE_BAND", None, None, "PRICE_BAND",
    ]  # fmt: skip
    redis_client().delete(f"price:{SYMBOL}")
    sql("INSERT INTO marketdata_price SELECT id, 200, 'OWN', false, now() FROM trading_instrument")
    reference_prices.clear_cache()
    assert refused(desk, desk.draft(alice, "BUY", "1", "100")) == ["PRICE_BAND"], "PostgreSQL has it too"


def test_an_amendment_passes_the_gate_too(desk: Desk) -> None:
    alice = desk.user(USDT="10000")
    limit(currency="USDT", max_order_notional=Decimal(100))
    order = Order.objects.get(pk=desk.trade(alice, "BUY", "1", "100"))
    ticks = desk.market.scale.to_ticks(Decimal(101))
    grown = amendment_terms.terms(order, ticks, None)
    institution = str(desk.institution.pk)
    assert pretrade.judge_amendment(order, grown, institution) == "MAX_ORDER_NOTIONAL"
    same = amendment_terms.terms(order, None, None)
    assert pretrade.judge_amendment(order, same, institution) == ""


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"max_daily_notional": Decimal(350)}, "MAX_DAILY_NOTIONAL"),
        ({"max_position": Decimal("4.5")}, "MAX_POSITION"),
    ],
)
def test_an_amendment_may_not_grow_past_what_is_counted(
    desk: Desk, fields: dict[str, Any], reason: str
) -> None:
    """Of four wanted one is bought, three rest: with one owned before, that is five."""
    alice, bob = desk.user(USDT="10000", BTC="1"), desk.user(BTC="10")
    name = desk.trade(alice, "BUY", "3", "100")
    desk.trade(bob, "SELL", "1", "100")
    limit(symbol=SYMBOL, **fields)
    order, institution = Order.objects.get(pk=name), str(desk.institution.pk)
    assert order.filled_quantity == 1

    def judged(price: str | None, quantity: str | None) -> str:
        scale = desk.market.scale
        ticks = scale.to_ticks(Decimal(price)) if price else None
        lots = scale.to_lots(Decimal(quantity)) if quantity else None
        return pretrade.judge_amendment(order, amendment_terms.terms(order, ticks, lots), institution)

    assert judged(None, "4") == reason
    assert judged(None, "3.5") == ""
    limit(user_id=alice, symbol=SYMBOL, **dict.fromkeys(fields, Decimal(1)), max_open_orders=0)
    assert judged(None, "2") == judged("90", None) == "", "what shrinks is welcome"


def test_a_risk_score_can_stop_a_user(desk: Desk) -> None:
    alice = desk.user(USDT="10000")
    limit(institution=desk.institution, max_risk_score=70)
    assert refused(desk, desk.draft(alice, "BUY", "1", "100")) == [None], "nobody has reckoned a score"
    for score, expected in ((71, "RISK_SCORE"), (70, None)):
        set_score(alice, score)
        assert refused(desk, desk.draft(alice, "BUY", "1", "100")) == [expected]


def test_a_change_holds_within_a_second_without_being_told(desk: Desk) -> None:
    alice = desk.user(USDT="100000000")
    assert refused(desk, desk.draft(alice, "BUY", "1", "100")) == [None]
    Limit.objects.create(max_open_orders=1)
    changed = time.monotonic()
    while refused(desk, desk.draft(alice, "BUY", "1", "100")) != ["MAX_OPEN_ORDERS"]:
        assert time.monotonic() - changed < 1.0
    Limit.objects.all().delete()
    changed = time.monotonic()
    while refused(desk, desk.draft(alice, "BUY", "1", "100")) != [None]:
        assert time.monotonic() - changed < 1.0


@pytest.mark.parametrize(
    "fields",
    [
        {"max_order_notional": 1},
        {"max_position": 1},
        {"currency": "USDT", "max_open_orders": 1},
        {"symbol": SYMBOL, "currency": "USDT", "max_order_notional": 1},
        {"symbol": SYMBOL, "max_order_notional": -1},
        {"symbol": SYMBOL, "price_band": 0},
    ],
)
def test_the_database_refuses_limits_without_a_meaning(desk: Desk, fields: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        Limit.objects.create(**fields)


# The kill switch


def kill(*arguments: str) -> dict[str, Any]:
    answer: list[str] = []
    output: Any = type("Output", (), {"write": staticmethod(answer.append), "isatty": lambda: False})
    call_command("block", *arguments, "--reason", "a test", "--json", stdout=output)
    gate.rules.clear_cache()
    found: dict[str, Any] = json.loads(answer[0])
    return found


def test_a_blocked_user_places_nothing_and_what_was_open_goes(desk: Desk) -> None:
    alice, bob = desk.user(USDT="10000"), desk.user(USDT="10000")
    for user in (alice, bob):
        desk.trade(user, "BUY", "1", "100")
    waiting = desk.place(alice, "BUY", "1", "99")  # on its way while the switch is thrown
    email = User.objects.get(pk=alice).email
    assert kill("--user", email)["blocked"]
    assert refused(desk, desk.draft(alice, "BUY", "1", "98")) == ["USER_BLOCKED"]
    assert refused(desk, desk.draft(bob, "BUY", "1", "98")) == [None]
    assert cancel_due(own_connection(), Dispatcher()) == 1
    assert cancel_due(own_connection(), Dispatcher()) == 0, "one is on its way"
    _, envelopes = desk.worker._stream.read("0-0", 1)
    assert [type(envelope.command).__name__ for envelope in envelopes] == ["Place", "CancelAll"]
    desk.match(*envelopes)
    assert not Order.objects.filter(user_id=alice, closed_at__isnull=True).exists()
    assert desk.order(waiting.command.id).status == "CANCELLED"
    assert Order.objects.filter(user_id=bob, status="OPEN").count() == 1
    assert kill("--user", email, "--lift")["changed"]
    assert refused(desk, desk.draft(alice, "BUY", "1", "98")) == [None]
    actions = [json.loads(each.message)["payload"] for each in OutboxEvent.objects.filter(topic="audit.logs")]
    assert [(each["action"], each["new"]) for each in actions if each["action"] != "ORDERS"] == [
        ("BLOCK", {"reason": "a test"}),
        ("LIFT_BLOCK", {"reason": "a test"}),
    ]


def test_a_blocked_institution_stops_all_its_users_and_no_others(desk: Desk) -> None:
    alice, bob = desk.user(USDT="10000"), desk.user(USDT="10000")
    other = Institution.objects.create(code="other", name="Other")
    User.objects.filter(pk=bob).update(institution=other)
    for user in (alice, bob):
        desk.trade(user, "BUY", "1", "100")
    kill("--institution", desk.institution.code)
    assert refused(desk, desk.draft(alice, "BUY", "1", "98")) == ["USER_BLOCKED"]
    assert cancel_due(own_connection(), Dispatcher()) == 1
    _, envelopes = desk.worker._stream.read("0-0", 1)
    desk.match(*envelopes)
    assert [str(each.user_id) for each in Order.objects.filter(status="OPEN")] == [bob]


def test_an_order_that_slips_in_beside_the_switch_is_cancelled_too(desk: Desk) -> None:
    alice = desk.user(USDT="10000")
    kill_switch.block(User.objects.get(pk=alice), reason="a test", by="test", trace_id="t")
    slipped = desk.trade(alice, "BUY", "1", "100")  # by an intake that has not looked yet
    assert cancel_due(own_connection(), Dispatcher()) == 1
    _, envelopes = desk.worker._stream.read("0-0", 1)
    desk.match(*envelopes)
    assert desk.order(slipped).status == "CANCELLED"


def test_the_switch_is_thrown_once_and_stays_on_record(desk: Desk) -> None:
    email = User.objects.get(pk=desk.user()).email
    assert kill("--user", email, "--dry-run")["changed"]
    assert not Block.objects.exists()
    kill("--user", email)
    with pytest.raises(SystemExit) as ended:
        kill("--user", email)
    assert ended.value.code == 1
    for unwanted in ("DELETE FROM risk_block", "UPDATE risk_block SET reason = 'none'"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            sql(unwanted)
    with pytest.raises(CommandError, match="there is no user nobody@bank"):
        kill("--user", "nobody@bank.example")


# The dead-man switch


def test_a_dead_man_switch_goes_off_once_and_only_when_it_is_not_renewed(desk: Desk) -> None:
    alice = desk.user(USDT="10000")
    order = desk.trade(alice, "BUY", "1", "100")
    now, deadline = dead_man_switch.arm(alice, 60)
    assert deadline == now + timedelta(seconds=60)
    assert cancel_due(own_connection(), Dispatcher()) == 0
    DeadMan.objects.update(deadline=timezone.now())
    assert dead_man_switch.arm(alice, 60)[1] is not None
    assert cancel_due(own_connection(), Dispatcher()) == 0
    DeadMan.objects.update(deadline=timezone.now())
    assert cancel_due(own_connection(), Dispatcher()) == 1
    assert (DeadMan.objects.count(), PendingCommand.objects.count()) == (0, 1)
    _, envelopes = desk.worker._stream.read("0-0", 1)
    desk.match(*envelopes)
    assert desk.order(order).status == "CANCELLED"
    dead_man_switch.arm(alice, 60)
    assert dead_man_switch.arm(alice, 0)[1] is None
    assert not DeadMan.objects.exists()
    told = Record.objects.filter(resource=f"user/{alice}").order_by("pk")
    assert [each.action for each in told] == ["dead_man.armed", "dead_man.armed", "dead_man.cleared"]


def test_a_dead_man_switch_does_not_rely_on_a_cancel_that_came_before_the_order(desk: Desk) -> None:
    """A cancel of all that no matcher has come to yet is of what was open when it was asked for."""
    alice = desk.user(USDT="10000")
    first = send(desk, desk.draft(alice, "BUY", "1", "100"))
    desk.match(*(c.envelope("") for c in first.pending))
    older = desk.cancel_all(alice)
    later = send(desk, desk.draft(alice, "BUY", "1", "90"))
    dead_man_switch.arm(alice, 60)
    DeadMan.objects.update(deadline=timezone.now())
    assert cancel_due(own_connection(), Dispatcher()) == 1
    desk.match(older, *(c.envelope("") for c in later.pending))
    assert desk.order(later.pending[0].order_id).status == "OPEN"
    _, envelopes = desk.worker._stream.read("0-0", 1)
    desk.match(*envelopes)
    assert desk.order(later.pending[0].order_id).status == "CANCELLED"


def set_score(user: str, score: int) -> None:
    gate.rules.clear_cache()
    Score.objects.all().delete()
    Score.objects.create(user_id=user, score=score)


def test_a_limit_that_is_set_again_counts_what_came_meanwhile(desk: Desk, counting: str) -> None:
    """While it was not there nobody counted these orders up, but the matcher counted them down."""
    alice = desk.user(USDT="10000")
    first = limit(institution=desk.institution, max_open_orders=2)
    placed = send(desk, desk.draft(alice, "BUY", "1", "100"))
    match(desk, *(c.envelope("") for c in placed.pending))
    first.delete()
    gate.rules.clear_cache()
    more = send(desk, *(desk.draft(alice, "BUY", "1", "100") for _ in range(4)))
    assert not more.rejected
    match(desk, *(c.envelope("") for c in more.pending))
    match(desk, *(desk.cancel(c.order_id) for c in [*placed.pending, *more.pending]))
    limit(institution=desk.institution, max_open_orders=2)
    again = [desk.draft(alice, "BUY", "1", "100") for _ in range(4)]
    assert refused(desk, *again) == [None, None, "MAX_OPEN_ORDERS", "MAX_OPEN_ORDERS"]


def test_only_a_change_of_limits_makes_counts_old(desk: Desk) -> None:
    """What is counted is loaded anew on the order path: not for every block, nor while a limit is still to come."""
    connection = own_connection()
    Limit.objects.create(institution=desk.institution, max_open_orders=2)
    gate.rules.look(connection)
    before = gate.rules.since
    kill("--institution", desk.institution.code)
    gate.rules.look(connection)
    assert (gate.rules.since, gate.rules.blocked) == (before, {str(desk.institution.pk)})
    Limit.objects.create(institution=desk.institution, max_open_orders=3)
    gate.rules.look(connection)
    assert gate.rules.since > before > 0


def test_counts_that_are_stale_are_read_anew_beside_the_order_path(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposure, "FRESH_SECONDS", 0)
    alice = desk.user(USDT="10000")
    limit(institution=desk.institution, max_open_orders=2)
    assert refused(desk, desk.draft(alice, "BUY", "1", "100")) == [None]
    (key,) = redis_client().keys(f"risk:{alice}:*")
    redis_client().hset(key, mapping={"open": 7, f"open:{desk.market.id}": 7})
    assert refused(desk, desk.draft(alice, "BUY", "1", "100")) == ["MAX_OPEN_ORDERS"], "nobody has looked yet"
    refresher.refresh(own_connection())
    assert redis_client().hget(key, "open") == b"1", "as PostgreSQL has it"
    assert refused(desk, desk.draft(alice, "BUY", "1", "100")) == [None]


def test_a_position_follows_trades_without_a_look_at_the_accounts(desk: Desk) -> None:
    alice, bob = desk.user(USDT="10000", BTC="1"), desk.user(BTC="10", USDT="10000")
    limit(symbol=SYMBOL, max_position=Decimal(3))
    bought = send(desk, desk.draft(alice, "BUY", "1", "100"))
    sold = send(desk, desk.draft(bob, "SELL", "1", "100", client_order_id="other"))
    match(desk, *(c.envelope("") for c in bought.pending + sold.pending))
    (key,) = redis_client().keys(f"risk:{alice}:*")
    base = desk.market.base
    assert int(redis_client().hget(key, f"owned:{base.id}")) == 2 * 10**base.scale  # type: ignore[arg-type]
    assert refused(desk, desk.draft(alice, "BUY", "1", "100")) == [None]
    assert refused(desk, desk.draft(alice, "BUY", "1", "100")) == ["MAX_POSITION"]
