"""Candles on a real database: every trade counts once in each interval, whatever repeats, runs twice or is killed."""

from __future__ import annotations

import json
import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from exchange.base import ids
from exchange.base.database import connect
from marketdata.candles import intervals, selectors
from marketdata.candles.aggregate import aggregate
from marketdata.candles.intervals import WIDTHS
from marketdata.candles.rebuild import TradesMissing, rebuild
from marketdata.candles.statistics import statistics
from marketdata.models import Candle, CandleCursor, DepthSnapshot, Interval
from marketdata.orderbook import depth_snapshots
from marketdata.tickers import selectors as tickers
from marketdata.tickers.announce import Announcer
from tests.market import PATIENCE, SYMBOL, Desk, eventually, open_desk, sql, unguarded
from tests.staff import signed_in, staff
from trading.models import Asset, Instrument

pytestmark = pytest.mark.django_db(transaction=True)

EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)


@pytest.fixture
def desk(transactional_db: None) -> Iterator[Desk]:
    with open_desk() as desk:
        yield desk


@dataclass(frozen=True)
class Made:
    """A trade as a settlement writes it."""

    number: int
    price: Decimal
    quantity: Decimal
    at: datetime


class Tape:
    """Writes trades of one instrument, and adds them up in the plainest way."""

    def __init__(self, instrument: int) -> None:
        self.instrument = instrument
        self.trades: list[Made] = []

    def write(self, *trades: tuple[str, str, datetime], aged: timedelta = timedelta(0)) -> None:
        """Price, quantity and time of each, in one transaction; with ids as if made `aged` ago."""
        rows = []
        for price, quantity, at in trades:
            made = Made(len(self.trades) + 1, Decimal(price), Decimal(quantity), at)
            self.trades.append(made)
            rows.append(made)
        with connection.cursor() as cursor:
            cursor.executemany(
                """INSERT INTO trading_trade (id, number, instrument_id, price, quantity, buyer_order_id,
                          seller_order_id, buyer_id, seller_id, is_buyer_maker, buyer_fee, seller_fee, executed_at)
                   SELECT %s, %s, %s, %s, %s, u, u, u, u, true, 0, 0, %s FROM gen_random_uuid() AS u""",
                [
                    (_id(aged), made.number, self.instrument, made.price, made.quantity, made.at)
                    for made in rows
                ],
            )

    def random(self, rng: random.Random, count: int, *, since: datetime, span: timedelta) -> None:
        self.write(
            *(
                (
                    f"{rng.randint(1, 9_999_999)}.{rng.randint(0, 99):02d}",
                    f"{rng.randint(0, 9)}.{rng.randint(1, 9999):04d}",
                    since + span * rng.random(),
                )
                for _ in range(count)
            )
        )

    def candles(self, interval: Interval) -> list[tuple[Any, ...]]:
        cut: dict[datetime, list[Made]] = defaultdict(list)
        for made in self.trades:
            cut[intervals.floor(made.at, WIDTHS[interval])].append(made)
        return [
            (
                start,
                trades[0].price,
                max(trade.price for trade in trades),
                min(trade.price for trade in trades),
                trades[-1].price,
                sum(trade.quantity for trade in trades),
                sum(trade.price * trade.quantity for trade in trades),
                len(trades),
            )
            for start, trades in sorted(cut.items())
        ]


def _id(aged: timedelta) -> str:
    new = ids.uuid7()
    return str(ids.floor(ids.moment(new) - aged))[:14] + new[14:]


def stored(instrument: int, interval: Interval) -> list[tuple[Any, ...]]:
    rows = Candle.objects.filter(instrument_id=instrument, interval=interval).order_by("start")
    return list(rows.values_list("start", "open", "high", "low", "close", "volume", "quote_volume", "trades"))


def exact(*tapes: Tape) -> None:
    """What is stored is what the trades say, and its sums are those of the table of trades."""
    for tape in tapes:
        for interval in Interval:
            assert stored(tape.instrument, interval) == tape.candles(interval), interval
            (in_trades,) = sql(
                """SELECT count(*), coalesce(sum(quantity), 0), coalesce(sum(price * quantity), 0) FROM trading_trade
                    WHERE instrument_id = %s""",
                tape.instrument,
            )
            (in_candles,) = sql(
                """SELECT coalesce(sum(trades), 0), coalesce(sum(volume), 0), coalesce(sum(quote_volume), 0)
                     FROM marketdata_candle WHERE instrument_id = %s AND interval = %s""",
                tape.instrument,
                interval.value,
            )
            assert in_candles == in_trades


@pytest.fixture
def tape(desk: Desk) -> Tape:
    return Tape(desk.market.id)


def markets(desk: Desk, count: int) -> list[Tape]:
    """`count` more markets against USDT."""
    made = []
    for at in range(count):
        base = Asset.objects.create(code=f"C{at}", name=f"Coin {at}", scale=8)
        made.append(
            Instrument.objects.create(
                symbol=f"{base.code}/USDT",
                base=base,
                quote=desk.assets["USDT"],
                tick_size=Decimal("0.01"),
                lot_size=Decimal("0.0001"),
                min_quantity=Decimal("0.0001"),
                max_quantity=Decimal("1000"),
                min_notional=Decimal("1"),
                group_id="alpha",
            )
        )
    return [Tape(instrument.pk) for instrument in made]


def test_trades_of_the_matcher_are_counted(desk: Desk) -> None:
    alice, bob = desk.user(USDT="100000", BTC="10"), desk.user(USDT="100000", BTC="10")
    for price in ("100", "103.5", "99", "101"):
        desk.trade(alice, "SELL", "0.2", price)
        desk.trade(bob, "BUY", "0.2", price)
    assert aggregate().trades == {desk.market.id: 4}
    candle = Candle.objects.filter(interval=Interval.D1).order_by("start").last()
    assert candle is not None
    assert (candle.open, candle.high, candle.low, candle.close) == (100, Decimal("103.5"), 99, 101)
    assert (candle.volume, candle.quote_volume, candle.trades) == (Decimal("0.8"), Decimal("80.7"), 4)
    assert aggregate().trades == {}


@pytest.mark.parametrize("seed", range(5))
def test_sums_equal_those_of_the_trades_for_every_interval(desk: Desk, seed: int) -> None:
    """Trades of the past day and of a moment, of three markets, counted now and then, and twice."""
    rng = random.Random(seed)
    tapes = [Tape(desk.market.id), *markets(desk, 2)]
    for _ in range(12):
        for tape in tapes:
            if rng.random() < 0.7:
                span = timedelta(hours=rng.choice([0.1, 1, 30]))
                tape.random(rng, rng.randint(1, 40), since=NOON, span=span)
        for _ in range(rng.choice([0, 1, 2])):
            aggregate()
    aggregate()
    exact(*tapes)


def test_a_backlog_is_counted_in_parts(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketdata.candles.aggregate.BATCH", 10)
    tape.random(random.Random(1), 45, since=NOON, span=timedelta(hours=9))
    counted = aggregate(budget=0)
    assert (counted.trades, counted.finished) == ({tape.instrument: 10}, False)
    assert aggregate(budget=PATIENCE).finished
    exact(tape)


def test_several_at_once_count_each_trade_once(desk: Desk) -> None:
    """Four workers that never wait for each other, while trades come in."""
    tapes = [Tape(desk.market.id), *markets(desk, 2)]
    over, failed = threading.Event(), []

    def work() -> None:
        try:
            while not over.is_set():
                aggregate()
        except Exception as error:
            failed.append(error)
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    rng = random.Random(7)
    for _ in range(60):
        rng.choice(tapes).random(rng, rng.randint(1, 20), since=NOON, span=timedelta(hours=2))
    over.set()
    for worker in workers:
        worker.join(PATIENCE)
    assert not failed
    aggregate()
    exact(*tapes)


def test_killed_in_between_nothing_is_lost_or_doubled(tape: Tape) -> None:
    """The statement stands still with the cursor locked and half of its work done, and then its server dies."""
    tape.write(("100", "1", NOON))
    aggregate()
    tape.write(("90", "2", NOON), ("95", "3", NOON + timedelta(hours=5)))
    failed: list[Exception] = []

    def work() -> None:
        try:
            aggregate()
        except OperationalError as error:
            failed.append(error)
        finally:
            connections.close_all()

    with connect("holds a candle") as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM marketdata_candle WHERE interval = '1d' FOR UPDATE")
        worker = threading.Thread(target=work)
        worker.start()
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%marketdata_candle%'"
        eventually(lambda: sql(waiting))
        assert aggregate().trades == {}, "who finds the cursor locked leaves it"
        assert [bar.trades for bar in selectors.candles(SYMBOL, Interval.D1, None, None, 9) or []] == [3]
        sql("SELECT pg_terminate_backend(%s)", sql(waiting)[0][0])
        worker.join(PATIENCE)
    assert failed
    assert CandleCursor.objects.get().number == 1
    assert aggregate().trades == {tape.instrument: 2}
    exact(tape)


def test_nothing_to_do_costs_one_query(desk: Desk) -> None:
    tapes = markets(desk, 50)
    for tape in tapes:
        tape.write(("100", "1", NOON))
    assert len(aggregate().trades) == 50
    with CaptureQueriesContext(connection) as queries:
        assert aggregate().trades == {}
    assert len(queries) == 1
    tapes[3].write(("101", "1", NOON))
    with CaptureQueriesContext(connection) as queries:
        assert aggregate().trades == {tapes[3].instrument: 1}
    assert len(queries) == 2
    exact(*tapes)


def test_only_partitions_that_may_have_new_trades_are_looked_at(tape: Tape) -> None:
    """One from a week ago is pruned from the plan."""
    week_ago = datetime.now(UTC) - timedelta(days=7)
    old = f"trading_trade_{week_ago:%Y_%m_%d}"
    lower, upper = ids.floor(week_ago.replace(hour=0)), ids.floor(week_ago.replace(hour=23))
    sql(f"CREATE TABLE {old} PARTITION OF trading_trade FOR VALUES FROM ('{lower}') TO ('{upper}')")
    try:
        aggregate()
        tape.write(("100", "1", NOON))
        with CaptureQueriesContext(connection) as queries:
            aggregate()
        plans = [str(sql("EXPLAIN " + query["sql"].replace("%", "%%"))) for query in queries]
        assert len(plans) == 2
        assert all("trading_trade_default" in plan and old not in plan for plan in plans)
    finally:
        sql(f"DROP TABLE {old}")


def test_open_and_close_go_by_number_where_clocks_went_back(tape: Tape) -> None:
    tape.write(("100", "1", NOON + timedelta(seconds=90)), ("101", "1", NOON + timedelta(seconds=50)))
    aggregate()
    tape.write(("99", "1", NOON + timedelta(seconds=10)), ("102", "1", NOON + timedelta(seconds=70)))
    aggregate()
    exact(tape)
    (hour,) = Candle.objects.filter(interval=Interval.H1)
    assert (hour.open, hour.close, hour.first_number, hour.last_number) == (100, 102, 1, 4)


def test_a_trade_older_than_the_slack_is_missed_by_nobody(tape: Tape) -> None:
    """A matcher whose clock is two days late: the gap is noticed, and all trades are looked at by a rebuild."""
    tape.write(("100", "1", NOON))
    aggregate()
    tape.write(("50", "2", NOON - timedelta(days=1)), aged=timedelta(days=2))
    tape.write(("101", "1", NOON))
    counted = aggregate()
    assert (counted.trades, counted.gaps) == ({}, {tape.instrument})
    assert not rebuild(tape.instrument)
    assert aggregate().trades == {tape.instrument: 2}
    exact(tape)


class TestRebuild:
    @pytest.fixture
    def counted(self, tape: Tape) -> Tape:
        tape.random(random.Random(3), 50, since=NOON, span=timedelta(hours=6))
        aggregate()
        return tape

    def command(self, *arguments: str) -> tuple[int, Any]:
        out = StringIO()
        try:
            call_command("candles", "--rebuild", "--json", *arguments, stdout=out, stderr=StringIO())
        except SystemExit as end:
            return int(str(end.code)), json.loads(out.getvalue())
        return 0, json.loads(out.getvalue())

    def test_what_is_right_stays(self, counted: Tape) -> None:
        status, told = self.command("--dry-run")
        assert (status, told["differences"]) == (0, 0)
        before = list(Candle.objects.order_by("id").values_list())
        assert self.command()[1]["differences"] == 0
        assert list(Candle.objects.order_by("id").values_list()) == before

    def test_what_is_wrong_is_told_and_made_right(self, counted: Tape) -> None:
        sql("UPDATE marketdata_candle SET volume = volume + 1 WHERE interval = '1h' AND start = %s", NOON)
        sql("DELETE FROM marketdata_candle WHERE interval = '1d'")
        sql(
            "UPDATE marketdata_candle SET start = start - interval '30 days' WHERE interval = '4h' AND start = %s",
            NOON,
        )
        counted.write(("100", "1", NOON))
        status, told = self.command("--dry-run")
        days = len(counted.candles(Interval.D1))
        (item,) = told["items"]
        assert status == 1
        assert (item["wrong"], item["missing"], item["surplus"]) == (1, days + 1, 1)
        assert Candle.objects.filter(interval=Interval.D1).count() == 0
        status, told = self.command("--symbol", "BTC-USDT")
        assert (status, told["differences"], told["counted"]) == (0, days + 3, 1)
        exact(counted)

    def test_everything_lost_comes_back(self, counted: Tape) -> None:
        sql("TRUNCATE marketdata_candle, marketdata_candlecursor")
        status, told = self.command()
        assert (status, told["counted"]) == (0, 50)
        exact(counted)

    def test_without_all_trades_it_refuses(self, counted: Tape) -> None:
        with unguarded():
            sql("DELETE FROM trading_trade WHERE number = 1")
        with pytest.raises(TradesMissing):
            rebuild(counted.instrument)
        status, told = self.command()
        assert status == 1
        assert told["items"][0]["error"] == "49 of 50 trades are there"
        assert Candle.objects.filter(interval=Interval.D1).exists()

    def test_bad_usage(self, counted: Tape) -> None:
        for arguments in (["--rebuild", "--symbol", "X/Y"], ["--dry-run"], ["--symbol", SYMBOL]):
            with pytest.raises(CommandError) as error:
                call_command("candles", *arguments, stdout=StringIO(), stderr=StringIO())
            assert error.value.returncode == 2


class TestReading:
    """What readers get is exact, whether the trades were counted or not."""

    @pytest.mark.parametrize("counted", [0, 1, 2, 3])
    def test_candles_are_exact_to_the_moment(self, tape: Tape, counted: int) -> None:
        rng = random.Random(counted)
        for part in range(3):
            if counted == part:
                aggregate()
            tape.random(rng, 20, since=NOON, span=timedelta(minutes=40))
        if counted == 3:
            aggregate()
        for interval in Interval:
            whole = tape.candles(interval)
            assert rows(selectors.candles(SYMBOL, interval, None, None, 1000)) == whole
            assert rows(selectors.candles(SYMBOL, interval, None, None, 3)) == whole[-3:]
            since, until = NOON + timedelta(minutes=10), NOON + timedelta(minutes=30)
            inside = [row for row in whole if since <= row[0] < until]
            assert rows(selectors.candles(SYMBOL, interval, since, until, 1000)) == inside
            assert rows(selectors.candles(SYMBOL, interval, since, until, 3)) == inside[:3]
        assert selectors.newest(SYMBOL, "1m", 2)[1] == 60

    def test_the_live_candle_names_the_newest_trade(self, tape: Tape) -> None:
        assert selectors.live_candle(SYMBOL, "1m") == (None, 0)
        assert selectors.live_candle("X/Y", "1m") == (None, 0)
        tape.write(("100", "1", datetime.now(UTC) - timedelta(minutes=2)))
        assert selectors.live_candle(SYMBOL, "1m") == (None, 1)
        aggregate()
        assert selectors.live_candle(SYMBOL, "1m") == (None, 1)
        now = datetime.now(UTC)
        tape.write(("101", "2", now))
        live, number = selectors.live_candle(SYMBOL, "1d")
        assert live is not None
        assert (live.start, live.close, number) == (intervals.floor(now, timedelta(days=1)), 101, 2)

    def test_intervals_without_trades_are_left_out_or_filled(self, tape: Tape) -> None:
        at = intervals.floor(datetime.now(UTC), timedelta(minutes=1)) - timedelta(minutes=10)
        minute = timedelta(minutes=1)
        tape.write(("100", "1", at), ("105", "2", at + 3 * minute))
        assert [bar.start for bar in selectors.candles(SYMBOL, Interval.M1, None, None, 9) or []] == [
            at,
            at + 3 * minute,
        ]
        until = at + 6 * minute
        full = selectors.filled(SYMBOL, Interval.M1, at - 5 * minute, until, 100) or []
        assert [bar.start for bar in full] == [at + n * minute for n in range(6)], (
            "nothing before the first trade"
        )
        assert [bar.close for bar in full] == [100, 100, 100, 105, 105, 105]
        assert [bar.trades for bar in full] == [1, 0, 0, 1, 0, 0]
        quiet = full[1]
        assert (quiet.open, quiet.high, quiet.low, quiet.volume, quiet.quote_volume) == (100, 100, 100, 0, 0)
        later = selectors.filled(SYMBOL, Interval.M1, at + minute, until, 2) or []
        assert [(bar.start, bar.close) for bar in later] == [(at + minute, 100), (at + 2 * minute, 100)]
        last = selectors.filled(SYMBOL, Interval.M1, None, until, 2) or []
        assert [(bar.start, bar.close) for bar in last] == [(at + 4 * minute, 105), (at + 5 * minute, 105)]
        running = selectors.filled(SYMBOL, Interval.M1, None, None, 3) or []
        assert running[-1].start >= at + 10 * minute
        first = selectors.filled(SYMBOL, Interval.M1, at - timedelta(days=9), None, 2) or []
        assert [bar.start for bar in first] == [at, at + minute], "limit counts from the first trade"
        assert selectors.filled(SYMBOL, Interval.M1, LATEST, None, 3) == []
        assert selectors.filled(SYMBOL, Interval.M1, None, EARLIEST, 3) == []
        assert selectors.filled("X/Y", Interval.M1, None, None, 3) is None
        assert selectors.candles("X/Y", Interval.M1, None, None, 3) is None


def rows(found: list[selectors.Candle] | None) -> list[tuple[Any, ...]]:
    assert found is not None
    return [
        (bar.start, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.quote_volume, bar.trades)
        for bar in found
    ]


class TestTickers:
    @pytest.fixture
    def now(self) -> datetime:
        return datetime.now(UTC).replace(minute=17, second=20, microsecond=0)

    def test_the_last_24_hours_are_1440_minutes(self, tape: Tape, now: datetime) -> None:
        rng = random.Random(5)
        tape.random(rng, 300, since=now - timedelta(hours=30), span=timedelta(hours=30))
        aggregate()
        since = now.replace(second=0) - timedelta(minutes=1439)
        inside = [made for made in tape.trades if made.at >= since]
        assert 200 < len(inside) < 300
        (found,) = statistics(None, now)
        assert found.open == next(made.price for made in inside)
        assert found.high == max(made.price for made in inside)
        assert found.low == min(made.price for made in inside)
        assert found.volume == sum(made.quantity for made in inside)
        assert found.quote_volume == sum(made.price * made.quantity for made in inside)
        assert (found.trades, found.last, found.last_number) == (len(inside), tape.trades[-1].price, 300)

    def test_change(self, tape: Tape, now: datetime) -> None:
        tape.write(("80", "1", now), ("79", "1", now))
        aggregate()
        (found,) = statistics([tape.instrument], now)
        assert (found.change, found.change_percent) == (-1, Decimal("-1.25"))
        (later,) = statistics([tape.instrument], now + timedelta(days=2))
        assert (later.open, later.change, later.change_percent, later.volume) == (None, None, None, 0)
        assert later.last == 79

    def test_announced_where_it_changed(self, desk: Desk, tape: Tape, now: datetime) -> None:
        announcer = Announcer()
        with desk.client.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe("tickers")
            channel.get_message(timeout=PATIENCE)
            assert announcer.announce([], now) == 1
            told = json.loads(channel.get_message(timeout=PATIENCE)["data"])
            assert (told["symbol"], told["last"], told["trades"]) == (SYMBOL, None, 0)
            tape.write(("100", "0.5", now))
            assert announcer.announce(aggregate().trades, now) == 1
            note = channel.get_message(timeout=PATIENCE)["data"]
            assert json.loads(note) == {
                "symbol": SYMBOL,
                "open": "100",
                "high": "100",
                "low": "100",
                "volume": "0.5",
                "quote_volume": "50",
                "trades": 1,
                "last": "100",
                "last_number": 1,
                "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            }
            assert desk.client.get(f"ticker:{SYMBOL}") == note
            assert announcer.announce([], now) == 0
            desk.client.flushdb()
            assert announcer.announce([], now + timedelta(seconds=10)) == 1
            assert desk.client.get(f"ticker:{SYMBOL}")
            assert channel.get_message(timeout=0.1) is None, "nothing that is in it has changed"

    def test_rest_has_best_prices_and_the_reference_price(self, desk: Desk, tape: Tape) -> None:
        tape.write(("100", "0.5", datetime.now(UTC)))
        aggregate()
        alice = desk.user(USDT="1000", BTC="1")
        desk.trade(alice, "BUY", "0.1", "99.5")
        price = {
            "symbol": SYMBOL,
            "price": "100.01",
            "source": "BINANCE_WS",
            "timestamp": "now",
            "stale": False,
        }
        desk.client.set(f"price:{SYMBOL}", json.dumps(price))
        for told_by_matcher in (False, True):
            if told_by_matcher:
                desk.client.hset("tops", str(tape.instrument), "9950 0")
            tickers.clear_cache()
            ticker = tickers.tickers()[SYMBOL]
            assert (ticker.last, ticker.bid, ticker.ask) == ("100", "99.5", None)
            assert (ticker.price, ticker.price_source, ticker.stale) == ("100.01", "BINANCE_WS", False)


@pytest.mark.parametrize("model", [Candle, DepthSnapshot])
def test_admin_pages_are_to_look_at_only(tape: Tape, model: Any) -> None:
    tape.write(("100", "1", NOON))
    aggregate()
    depth_snapshots.take()
    client = signed_in(staff())
    page = f"admin:marketdata_{model._meta.model_name}"
    row = model.objects.order_by("-pk")[0]
    assert client.get(reverse(f"{page}_changelist")).status_code == 200
    assert client.get(reverse(f"{page}_change", args=[row.pk])).status_code == 200
    assert client.post(reverse(f"{page}_change", args=[row.pk]), {}).status_code == 403
    assert client.get(reverse(f"{page}_add")).status_code == 403
