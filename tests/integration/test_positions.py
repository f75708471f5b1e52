"""Positions from real trades: each once, whatever the stream does; the ledger agrees; and what portfolios come to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.utils import timezone

from exchange.base.ids import uuid7
from exchange.base.redis import client
from exchange.platform.events import exactly_once
from exchange.platform.events.event import Event, Poison, read
from marketdata.models import Candle
from risk import event_handlers, tasks
from risk.cases import workflow
from risk.models import Alert, Case, Parameters, Portfolio, Position, PositionCursor, Score
from risk.portfolio import positions, price_history, reconcile, revaluation
from tests.market import SYMBOL, Desk, open_desk, sql, unguarded

pytestmark = pytest.mark.django_db(transaction=True)

D = Decimal


@pytest.fixture
def desk(transactional_db: None) -> Iterator[Desk]:
    price_history.clear_cache()
    with open_desk() as desk:
        yield desk


def events(topic: str = "trade.events") -> list[Event]:
    """What the outbox has for consumers, in order."""
    rows = sql("SELECT topic, key, message FROM events_outboxevent WHERE topic = %s ORDER BY id", topic)
    return [read(topic, key.encode(), message.encode()) for topic, key, message in rows]


def consume(some: list[Event]) -> int:
    return exactly_once.handle("surveillance", [(event_handlers.traded, event) for event in some])


def position(user: str, symbol: str = SYMBOL) -> Position:
    return Position.objects.get(user_id=user, symbol=symbol)


@pytest.fixture
def traded(desk: Desk) -> tuple[str, str]:
    """Ten trades between two: 1 BTC at 100, 101 … 109."""
    alice, bob = desk.user(USDT="5000", BTC="5"), desk.user(USDT="5000", BTC="20")
    for price in range(100, 110):
        desk.trade(bob, "SELL", "1", str(price))
        desk.trade(alice, "BUY", "1", str(price))
    return alice, bob


def test_positions_are_what_the_ledger_has_booked(desk: Desk, traded: tuple[str, str]) -> None:
    alice, bob = traded
    desk.trade(alice, "SELL", "4", "110")
    desk.trade(bob, "BUY", "4", "110")
    consume(events())
    assert reconcile.differences() == []
    owned = position(alice)
    bought = D("9.98")  # ten, less 0.2 % in BTC as a taker
    assert owned.quantity == bought - 4
    assert owned.average_cost == pytest.approx(D(1045) / bought)
    assert owned.realised == pytest.approx(440 * D("0.999") - 4 * D(1045) / bought)
    assert owned.realised - owned.cost == -1045 + 440 * D("0.999")
    assert position(bob).quantity == -10 + 4 * D("0.998")
    assert owned.trades == position(bob).trades == 11
    free, _ = desk.balance(alice, "BTC")
    assert free == 5 + owned.quantity


def test_an_event_that_comes_again_counts_once(traded: tuple[str, str]) -> None:
    alice, _ = traded
    found = events()
    assert consume(found) == 10
    assert consume(found) == 0
    before = position(alice)
    with transaction.atomic():  # even if the rows that say "handled" are lost
        event_handlers.traded(found)
    after = position(alice)
    assert (after.quantity, after.cost, after.trades) == (before.quantity, before.cost, 10)
    assert reconcile.differences() == []


def test_two_consumers_that_have_the_same_trades_count_them_once(traded: tuple[str, str]) -> None:
    """As after a rebalance: both hold the events, in batches that overlap, and neither knows of the other."""
    found, start = events(), threading.Barrier(2)

    def count(batches: list[list[Event]]) -> None:
        try:
            start.wait()
            for batch in batches:
                with transaction.atomic():
                    event_handlers.traded(batch)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(count, [found[:3], found[3:]]), pool.submit(count, [found[:7], found[5:]])]:
            done.result(20)
    assert position(traded[0]).trades == position(traded[1]).trades == 10
    assert reconcile.differences() == []


def test_what_the_stream_lost_is_read_from_the_trades(traded: tuple[str, str]) -> None:
    found = events()
    consume(found[4:6])  # the stream begins late: numbers 1 to 4 are missing
    assert PositionCursor.objects.get().number == 6
    consume([found[9]])  # and 7 to 9 went to the dead letters
    assert PositionCursor.objects.get().number == 10
    consume(found[6:9])  # from where an operator sends them again
    assert position(traded[0]).trades == 10
    assert reconcile.differences() == []


def test_too_much_for_one_transaction_is_left_to_the_next(
    traded: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions, "AT_ONCE", 3)
    found = events()
    consume([found[9]])
    assert PositionCursor.objects.get().number == 3
    assert reconcile.lag() == {SYMBOL: 7} and reconcile.differences() == []
    assert tasks.catch_up() == 7
    assert position(traded[0]).trades == 10
    assert reconcile.differences() == []


def test_positions_that_differ_are_reported_and_counted_again(traded: tuple[str, str]) -> None:
    consume(events())
    Position.objects.filter(user_id=traded[0]).update(quantity=D(1))
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("positions", "--json", stdout=out)
    assert ended.value.code == 1
    (wrong,) = json.loads(out.getvalue())["differences"]
    assert (wrong["user"], wrong["asset"]) == (traded[0], "BTC")
    assert (D(wrong["counted"]), D(wrong["booked"])) == (1, D("9.98"))
    with pytest.raises(SystemExit):
        call_command("positions", "--rebuild", SYMBOL, "--dry-run", stdout=StringIO())
    call_command("positions", "--rebuild", SYMBOL, stdout=StringIO(), stderr=StringIO())
    assert position(traded[0]).quantity == D("9.98")
    with pytest.raises(CommandError, match="nothing was traded in 'A/B'"):
        call_command("positions", "--rebuild", "A/B")


def test_a_ledger_that_differs_is_told(traded: tuple[str, str]) -> None:
    consume(events())
    with unguarded():
        ((booked,),) = sql(
            "SELECT min(p.id::text) FROM trading_posting p JOIN trading_account a ON a.id = p.account_id "
            "JOIN trading_transaction t ON t.id = p.transaction_id AND t.kind = 'TRADE' WHERE a.user_id = %s",
            traded[0],
        )
        sql("UPDATE trading_posting SET amount = amount + 1 WHERE id = %s", booked)
    (found,) = reconcile.differences()
    assert found.user == traded[0] and abs(found.booked - found.counted) == 1


@pytest.mark.parametrize("broken", [{"price": "dear"}, {"number": None}, {"symbol": ...}])
def test_what_is_no_trade_is_poison(traded: tuple[str, str], broken: dict[str, Any]) -> None:
    event = events()[0]
    payload = event.payload | broken
    with pytest.raises(Poison, match="no trade"):
        consume([msgspec.structs.replace(event, payload={k: v for k, v in payload.items() if v is not ...})])
    assert Position.objects.count() == 0
    assert consume([event]) == 1  # nothing of the attempt is left


# Portfolios


def history(desk: Desk, closes: list[float]) -> None:
    """Hourly candles up to the hour that has ended."""
    last = datetime.fromtimestamp(price_history.last_interval(Parameters()), UTC)
    Candle.objects.bulk_create(
        Candle(
            instrument_id=desk.market.id,
            interval="1h",
            start=last - timedelta(hours=len(closes) - at),
            open=D(str(close)),
            high=D(str(close)),
            low=D(str(close)),
            close=D(str(close)),
            volume=D(1),
            quote_volume=D(1),
            trades=1,
            first_number=at,
            last_number=at,
        )
        for at, close in enumerate(closes, 1)
    )


def test_a_portfolio_is_valued_when_its_owner_trades(desk: Desk, traded: tuple[str, str]) -> None:
    alice, bob = traded
    history(desk, [100 * (1.02 if hour % 2 else 1) for hour in range(160)])
    consume(events())
    Portfolio.objects.update(due_at=timezone.now())
    assert tasks.value_portfolios() == 2
    mine = Portfolio.objects.get(user_id=alice)
    # 14.98 BTC at the last trade's 109, and 5000 − 1045 USDT
    assert mine.value == D("14.98") * 109 + 3955
    assert (mine.concentrated, mine.unpriced, mine.currency) == ("BTC", [], "USDT")
    assert {part["asset"]: part["quantity"] for part in mine.parts} == {"BTC": "14.98", "USDT": "3955"}
    fall = float(D("14.98") * 109) * (1 - 1 / 1.02) * 24**0.5  # every second hour it fell by that
    assert float(mine.var_99 or 0) == pytest.approx(fall, abs=0.01) == float(mine.es_99 or 0)
    assert mine.observations == 159 and mine.tested == 59 and mine.exceptions == 0
    score = Score.objects.get(user_id=alice)
    assert 0 < score.score < 100
    assert client().get(f"risk:score:{alice}") == str(score.score).encode()
    assert tasks.value_portfolios() == 0  # not due before the refresh
    assert Portfolio.objects.get(user_id=bob).due_at > timezone.now() + timedelta(minutes=14)


def test_without_history_there_is_no_var_and_it_says_so(desk: Desk) -> None:
    alice = desk.user(BTC="1", USDT="100")
    desk.trade(alice, "SELL", "1", "100")
    desk.trade(desk.user(USDT="1000"), "BUY", "1", "100")
    holder = desk.user(BTC="2")
    assert tasks.catch_up() == 1  # finds who has an account and no portfolio, too
    tasks.value_portfolios()
    mine = Portfolio.objects.get(user_id=holder)
    assert (mine.value, mine.var_99) == (200, None)
    assert mine.note == "no VaR: BTC has 0 of the 100 returns (1h) that it needs"
    assert Score.objects.get(user_id=holder).parts["market"] is None


def test_what_has_no_price_is_tried_again_soon(desk: Desk) -> None:
    user = desk.user(BTC="1", USDT="50")
    tasks.catch_up()
    tasks.value_portfolios()
    mine = Portfolio.objects.get(user_id=user)
    assert (mine.value, mine.unpriced) == (50, ["BTC"])
    assert mine.due_at < timezone.now() + timedelta(seconds=61)


def test_a_deposit_makes_a_portfolio_due(desk: Desk) -> None:
    user = desk.user(USDT="100")
    event = Event("DEPOSITED", uuid7(), 1, "", "t", {"user_id": user}, "account.events", user)
    exactly_once.handle("surveillance", [(event_handlers.deposited, event)])
    soon = Portfolio.objects.get(user_id=user).due_at
    assert timezone.now() < soon < timezone.now() + timedelta(seconds=11)
    exactly_once.handle(
        "surveillance", [(event_handlers.deposited, msgspec.structs.replace(event, event_id=uuid7()))]
    )
    assert Portfolio.objects.get(user_id=user).due_at == soon  # sooner is not needed


def test_a_concentration_raises_one_alert_until_it_grows(desk: Desk) -> None:
    user, other = desk.user(BTC="20", USDT="4000"), desk.user(USDT="3000")
    desk.trade(user, "SELL", "1", "100")
    desk.trade(other, "BUY", "1", "100")  # 19 BTC at 100 of 5999.9: a third
    tasks.catch_up()
    for _ in range(2):
        Portfolio.objects.update(due_at=timezone.now())
        tasks.value_portfolios()
    alert = Alert.objects.get()
    assert (alert.kind, str(alert.user_id), alert.detail["asset"]) == ("CONCENTRATION", user, "BTC")
    assert alert.times == 1 and alert.severity == 1
    assert [event.payload["kind"] for event in events("risk.alerts")] == ["CONCENTRATION"]
    Parameters.objects.create(concentration=0.5)
    Portfolio.objects.update(due_at=timezone.now(), concentration=0)
    tasks.value_portfolios()
    assert Alert.objects.get().times == 1
    assert Case.objects.get().user_id == alert.user_id


def test_an_alert_moves_the_score_soon(desk: Desk) -> None:
    user = desk.user(USDT="100")
    tasks.catch_up()
    tasks.value_portfolios()
    assert Score.objects.get(user_id=user).score == 0
    with transaction.atomic():
        workflow.raise_alert(
            kind="SPOOFING",
            severity=3,
            user_id=user,
            symbol=SYMBOL,
            score=0.9,
            detail={},
            evidence={},
            dedup="a",
            trace_id="t",
        )
    assert Portfolio.objects.get(user_id=user).due_at < timezone.now() + timedelta(seconds=11)
    assert revaluation.value(user).score.score == 50
