"""The prices at work: a market outside that plays recorded frames and misbehaves, our own trades, and both
services away in between.

BTC/USDT goes by the name of OMGBUSD outside, which was recorded. Its stops follow the market.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType

from exchange.base.redis import connect as connect_redis
from exchange.base.redis_keys import PRICES_ALIVE, STOP_PRICES, STOPS_MOVED, STOPS_POKED
from exchange.base.redis_keys import feed as feed_channel
from exchange.celery import app
from exchange.operations.management.commands.prices import Poke
from marketdata.models import Price
from marketdata.prices import poll, quotes, service, source_health
from marketdata.prices.publisher import KEEP
from marketdata.prices.service import Service, Settings
from matching import feed
from tests.market import GROUP, PATIENCE, SYMBOL, Desk, eventually, open_desk, sql
from tests.outside import Outside, best, frames, open_outside, trade, trades
from tests.staff import signed_in, staff
from trading.models import Instrument

pytestmark = pytest.mark.django_db(transaction=True)

OUTSIDE = "OMGBUSD"
OTHER = "NKNUSDT"
NOWHERE = "ws://127.0.0.1:1"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "READ", 0.2)
    monkeypatch.setattr(poll, "EVERY", 0.2)
    monkeypatch.setattr(source_health, "FIRST_WAIT", 0.1)
    monkeypatch.setattr(source_health, "LONGEST_WAIT", 0.2)
    monkeypatch.setattr(quotes, "LASTING", 0.5)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with open_desk() as desk:
        Instrument.objects.update(market_symbol=OUTSIDE, trigger_source="MARKET")
        yield desk


@pytest.fixture
def outside() -> Iterator[Outside]:
    with open_outside() as outside:
        yield outside


@pytest.fixture
def settings_of(outside: Outside) -> Settings:
    return Settings(outside.ws_url, outside.rest_url, 2.0, 2.0, 1.0, Decimal("0.2"), silence=30.0)


@dataclass
class Readers:
    """What everybody else sees of the prices."""

    desk: Desk
    channel: Any
    pokes: list[None]

    def told(self, symbol: str = SYMBOL) -> list[dict[str, Any]]:
        """All messages since this was asked last."""
        found = []
        while message := self.channel.get_message():
            found.append(json.loads(message["data"]))
        return [each for each in found if each["symbol"] == symbol]

    def price(self, symbol: str = SYMBOL) -> tuple[str, str, bool] | None:
        body: Any = self.desk.client.get(f"price:{symbol}")
        if body is None:
            return None
        found = json.loads(body)
        return found["price"], found["source"], found["stale"]

    def stop_price(self, symbol: str = SYMBOL) -> str | None:
        found: Any = self.desk.client.hget(STOP_PRICES, symbol)
        return None if found is None else found.decode()

    def expect(self, price: str, source: str, *, stale: bool = False, symbol: str = SYMBOL) -> None:
        wanted = (price, source, stale)
        eventually(lambda: self.price(symbol) == wanted)

    def expect_own(self, price: str) -> None:
        """While the matcher says each time that it knows of nothing newer."""

        def told() -> bool:
            self.desk.worker._snapshot()
            return self.price() == (price, "LAST_TRADE", False)

        eventually(told)

    def signs_of_life(self, count: int) -> list[dict[str, Any]]:
        """The next so many messages; while nothing changes there is one a second."""
        self.told()
        signs: list[dict[str, Any]] = []

        def come() -> bool:
            signs.extend(self.told())
            return len(signs) >= count

        eventually(come)
        return signs


Follow = Callable[[Settings], Any]


@pytest.fixture
def follow(desk: Desk) -> Follow:
    """Runs the service on a thread of its own, as its process runs it; what ends it ends the test."""

    @contextmanager
    def following(settings: Settings) -> Iterator[Readers]:
        pokes: list[None] = []
        loop = asyncio.new_event_loop()
        failed: list[BaseException] = []

        def run() -> None:
            asyncio.set_event_loop(loop)
            try:
                running.append(loop.create_task(Service(settings, lambda: pokes.append(None)).run()))
                loop.run_until_complete(running[0])
            except asyncio.CancelledError:
                pass
            except BaseException as error:
                failed.append(error)

        running: list[asyncio.Task[None]] = []
        thread = threading.Thread(target=run, name="prices")
        with desk.client.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe("prices")
            channel.get_message(timeout=PATIENCE)
            thread.start()
            try:
                yield Readers(desk, channel, pokes)
            finally:
                loop.call_soon_threadsafe(lambda: running[0].cancel())
                thread.join(3 * PATIENCE)
                assert not thread.is_alive(), "the service does not stop"
                loop.run_until_complete(loop.shutdown_default_executor())
                loop.close()
                if failed:
                    raise failed[0]

    return following


def test_it_stops_even_where_the_word_to_stop_gets_lost() -> None:
    """asyncio.wait_for of Python 3.11, which redis.asyncio calls, swallows a cancellation that comes with a result."""

    async def main() -> None:
        loop, rounds = asyncio.get_running_loop(), 0

        async def work() -> None:
            nonlocal rounds
            rounds += 1
            answer = loop.create_future()
            loop.call_soon(answer.set_result, None)
            if rounds == 3:
                loop.call_soon(task.cancel)
            await asyncio.wait_for(answer, PATIENCE)

        service = Service(Settings("", "", 1.0, 1.0, 1.0, Decimal(1)), lambda: None)
        task = asyncio.create_task(service._every(0.0, work))
        done, _ = await asyncio.wait([task], timeout=PATIENCE)
        task.cancel()
        assert done and rounds == 3

    asyncio.run(main())


def tell_own(desk: Desk, price: str) -> None:
    """One trade of our own, matched, settled and told as a worker does."""
    seller, buyer = desk.user(BTC="1"), desk.user(USDT="1000000")
    desk.worker._connected = True
    desk.trade(seller, "SELL", "0.1", price)
    desk.trade(buyer, "BUY", "0.1", price)


def test_recorded_frames_are_followed(
    outside: Outside, follow: Follow, settings_of: Settings, desk: Desk
) -> None:
    desk.client.zadd(f"stops:{SYMBOL}:BUY", {"a stop": 1})
    recorded = {quotes.parse(price) for price in trades(OUTSIDE)}
    last = quotes.parse(trades(OUTSIDE)[-1])
    with follow(replace(settings_of, rest_url="")) as readers:
        eventually(lambda: outside.connections)
        outside.say(*frames())
        readers.expect(last, "BINANCE_WS")
        told = readers.told()
        assert {each["price"] for each in told} <= recorded
        assert {(each["source"], each["stale"]) for each in told} == {("BINANCE_WS", False)}
        assert readers.stop_price() == last
        assert desk.client.smembers(STOPS_MOVED) == {SYMBOL.encode()}
        eventually(lambda: readers.pokes)
        assert 0 < desk.client.pttl(STOPS_POKED) <= 1000
        assert 0 < desk.client.ttl(f"price:{SYMBOL}") <= KEEP
        eventually(lambda: desk.client.exists(PRICES_ALIVE))
        eventually(
            lambda: Price.objects.filter(price=Decimal(last), source="BINANCE_WS", stale=False).exists()
        )
    assert outside.paths == [f"/stream?streams={OUTSIDE.lower()}@aggTrade/{OUTSIDE.lower()}@bookTicker"]


def add_market(desk: Desk, symbol: str, market_symbol: str) -> None:
    old = Instrument.objects.get(symbol=SYMBOL)
    base, quote = symbol.split("/")
    old.pk, old.symbol, old.base, old.quote = None, symbol, desk.assets[base], desk.assets[quote]
    old.market_symbol = market_symbol
    old.save(force_insert=True)


def test_a_quiet_symbol_is_no_dead_stream(
    outside: Outside, follow: Follow, settings_of: Settings, desk: Desk
) -> None:
    add_market(desk, "ETH/USDT", OTHER)
    with follow(replace(settings_of, rest_url="")) as readers:
        eventually(lambda: outside.connections)
        outside.say(trade(OUTSIDE, "13.8"))
        outside.play([best(OTHER)])
        readers.expect("13.8", "BINANCE_WS")
        signs = readers.signs_of_life(4)  # more seconds than its patience
        assert {(each["price"], each["stale"]) for each in signs} == {("13.8", False)}
        assert len({each["timestamp"] for each in signs}) == 1, "heard once"


def test_a_lost_stream_is_replaced_by_the_ticker_and_comes_back(
    outside: Outside, follow: Follow, settings_of: Settings
) -> None:
    outside.ticker[OUTSIDE] = "13.90"
    with follow(settings_of) as readers:
        eventually(lambda: outside.connections)
        outside.play([trade(OUTSIDE, "13.80")])
        readers.expect("13.8", "BINANCE_WS")
        outside.refuses = True
        outside.drop()
        readers.expect("13.9", "BINANCE_REST")
        assert readers.stop_price() == "13.9"
        outside.refuses = False
        readers.expect("13.8", "BINANCE_WS")
        asked = len(outside.asked)
        readers.signs_of_life(3)
        assert len(outside.asked) <= asked + 1, "nobody asks while the stream speaks"


def test_a_stream_that_stalls_is_replaced_and_given_up(
    outside: Outside, follow: Follow, settings_of: Settings
) -> None:
    outside.ticker[OUTSIDE] = "13.9"
    with follow(replace(settings_of, silence=4.0)) as readers:
        eventually(lambda: outside.connections)
        outside.play([trade(OUTSIDE, "13.8")])
        readers.expect("13.8", "BINANCE_WS")
        outside.silence()
        readers.expect("13.9", "BINANCE_REST")
        eventually(lambda: len(outside.paths) > 1)
        outside.play([best(OUTSIDE)])
        outside.ticker[OUTSIDE] = "13.91"
        readers.expect("13.91", "BINANCE_REST")  # the new connection has not said a price
        outside.play([trade(OUTSIDE, "13.92")])
        readers.expect("13.92", "BINANCE_WS")


def test_without_the_market_our_own_last_trade_has_the_word_but_not_over_its_stops(
    outside: Outside, follow: Follow, settings_of: Settings, desk: Desk
) -> None:
    with follow(settings_of) as readers:
        eventually(lambda: outside.connections)
        outside.play([trade(OUTSIDE, "13.8")])
        readers.expect("13.8", "BINANCE_WS")
        outside.silence()
        readers.expect("13.8", "BINANCE_WS", stale=True)
        assert readers.stop_price() is None
        tell_own(desk, "14.50")
        readers.expect("14.5", "LAST_TRADE")
        assert readers.stop_price() is None
        eventually(lambda: Price.objects.filter(price=Decimal("14.5"), source="LAST_TRADE").exists())
        outside.play([trade(OUTSIDE, "13.8")])
        readers.expect("13.8", "BINANCE_WS")
        assert readers.stop_price() == "13.8"


def test_with_no_network_our_own_last_trade_is_the_price_and_the_log_is_quiet(
    follow: Follow, settings_of: Settings, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    Instrument.objects.update(trigger_source="LAST_TRADE")
    tell_own(desk, "14")
    caplog.set_level(logging.INFO)
    with follow(replace(settings_of, ws_url=NOWHERE, rest_url="http://127.0.0.1:1")) as readers:
        readers.expect("14", "LAST_TRADE", stale=True)  # from PostgreSQL; if it is the last, nobody says
        assert readers.stop_price() == "14"
        readers.expect_own("14")
        tell_own(desk, "14.01")
        readers.expect("14.01", "LAST_TRADE")
        assert readers.stop_price() == "14.01"
        readers.signs_of_life(3)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("marketdata.")]
    assert len([line for line in lines if "price source is down" in line]) == 2, lines
    assert len(lines) == 2, lines


NO_PRICES: list[Any] = [
    *(13.9, 1e300, None, True, [], {}, "", "NaN", "Infinity", "-13.9", "0", "1e400", "1E1", "13,9", " 13.9"),
    *("13.9x", "1" * 4000, "1000000000000000", "0.0000001", "27.61", "999999999999"),
]
RUBBISH: list[str | bytes] = [
    *("", "nonsense", "[]", "null", "{}", "pong", "{" * 60000),
    '{"stream": 1, "data": {}}',
    '{"result": null, "id": 1}',
    '{"stream": "omgbusd@aggTrade", "data": []}',
    '{"stream": "omgbusd@aggTrade", "data": {"s": "OMGBUSD"}}',
    '{"stream": "omgbusd@aggTrade", "data": {"s": "OMGBUSD", "p": NaN}}',
    '{"stream": "omgbusd@aggTrade", "data": {"p": "13.9"}}',
    '{"stream": "omgbusd@aggTrade", "data": {"s": "NKNUSDT", "p": "13.9"}}',
    '{"stream": "omgbusd@depth", "data": {"s": "OMGBUSD", "p": "13.9"}}',
    trade("BTCUSDT", "13.9"),
    *(trade(OUTSIDE, price) for price in NO_PRICES),
    b"\xff\xfe\x00",
    trade(OUTSIDE, "13.9").encode("utf-16"),
]


def test_rubbish_on_the_stream_is_left_out(outside: Outside, follow: Follow, settings_of: Settings) -> None:
    with follow(replace(settings_of, rest_url="")) as readers:
        eventually(lambda: outside.connections)
        outside.say(trade(OUTSIDE, "13.8"))
        readers.expect("13.8", "BINANCE_WS")
        outside.say(*RUBBISH, trade(OUTSIDE, "13.81"))
        readers.expect("13.81", "BINANCE_WS")
        assert {each["price"] for each in readers.told()} == {"13.8", "13.81"}
        assert outside.connections == 1 == len(outside.paths), "it never was lost"
        outside.say("x" * 100_000)  # more than anybody reads
        eventually(lambda: len(outside.paths) == 2)
        outside.say(trade(OUTSIDE, "13.82"))
        readers.expect("13.82", "BINANCE_WS")


def test_nothing_but_rubbish_is_no_sign_of_life(
    outside: Outside, follow: Follow, settings_of: Settings
) -> None:
    with follow(replace(settings_of, rest_url="")) as readers:
        eventually(lambda: outside.connections)
        outside.say(trade(OUTSIDE, "13.8"))
        readers.expect("13.8", "BINANCE_WS")
        outside.play([trade(OUTSIDE, "NaN"), '{"stream": "omgbusd@aggTrade"}', "pong"])
        readers.expect("13.8", "BINANCE_WS", stale=True)


def test_a_jump_is_believed_when_it_lasts(outside: Outside, follow: Follow, settings_of: Settings) -> None:
    with follow(replace(settings_of, rest_url="")) as readers:
        eventually(lambda: outside.connections)
        outside.say(trade(OUTSIDE, "13.8"))
        readers.expect("13.8", "BINANCE_WS")
        outside.play([trade(OUTSIDE, "27.0")])
        readers.expect("27", "BINANCE_WS")
        assert {each["price"] for each in readers.told()} == {"13.8", "27"}


ANSWERS = [
    (200, b""),
    (200, b"<html>sign in</html>"),
    (200, b"{}"),
    (200, b"[[[[]]]]"),
    (200, b'[{"symbol": "OMGBUSD"}]'),
    (200, b'[{"symbol": "OMGBUSD", "price": 13.9}]'),
    (200, b'[{"symbol": "OMGBUSD", "price": "NaN"}, {"symbol": "OMGBUSD", "price": "-1"}, null, 7]'),
    (200, b'[{"symbol": "OMGBUSD", "price": "1e400"}, {"symbol": "BTCUSDT", "price": "13.9"}]'),
    (200, b'[{"symbol": "OMGBUSD", "price": "1000"}]'),
    (200, b"[" * 2_000_000),
    (400, b'{"code": -1100, "msg": "Illegal characters found in a parameter."}'),
    (400, b"\xff"),
    (418, b""),
    (500, b"oops"),
    (302, b""),
]


def asked_again(outside: Outside) -> None:
    """The answer to the last but one question has been read."""
    before = len(outside.asked)
    eventually(lambda: len(outside.asked) > before + 1)


def test_rubbish_from_the_ticker_is_left_out(
    outside: Outside, follow: Follow, settings_of: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotes, "LASTING", 600.0)
    outside.ticker[OUTSIDE] = "13.8"
    with follow(replace(settings_of, ws_url="", rest_patience=60.0)) as readers:
        readers.expect("13.8", "BINANCE_REST")
        for answer in ANSWERS:
            outside.answer = answer
            asked_again(outside)
        outside.answer, outside.ticker[OUTSIDE] = None, "13.81"
        readers.expect("13.81", "BINANCE_REST")
        assert {(each["price"], each["stale"]) for each in readers.told()} == {
            ("13.8", False),
            ("13.81", False),
        }


def test_a_symbol_that_the_market_does_not_know_takes_no_price_from_the_others(
    outside: Outside, follow: Follow, settings_of: Settings, desk: Desk
) -> None:
    add_market(desk, "ETH/USDT", "NOSUCH")
    outside.ticker[OUTSIDE] = "13.8"
    with follow(replace(settings_of, ws_url="")) as readers:
        readers.expect("13.8", "BINANCE_REST")
        eventually(lambda: outside.asked[-1] == [OUTSIDE])
        assert outside.asked.count(["NOSUCH"]) == 1
        assert readers.price("ETH/USDT") is None


def test_new_instruments_and_new_names_are_noticed(
    outside: Outside, follow: Follow, settings_of: Settings, desk: Desk
) -> None:
    with follow(replace(settings_of, rest_url="")) as readers:
        eventually(lambda: outside.connections)
        outside.play(frames(), pause=0.002)
        eventually(lambda: readers.price() is not None)
        add_market(desk, "ETH/USDT", OTHER)
        readers.expect(quotes.parse(trades(OTHER)[-1]), "BINANCE_WS", symbol="ETH/USDT")
        Instrument.objects.filter(symbol=SYMBOL).update(market_symbol="lrcbtc ")  # as people write
        readers.expect("0.00000638", "BINANCE_WS")
        Instrument.objects.filter(symbol=SYMBOL).update(market_symbol="")
        eventually(lambda: readers.price() is None)
        assert readers.stop_price() is None


def test_trades_that_were_missed_on_the_feed_are_read_from_postgresql(
    follow: Follow, settings_of: Settings, desk: Desk
) -> None:
    with follow(replace(settings_of, ws_url="", rest_url="")) as readers:
        tell_own(desk, "14")
        readers.expect_own("14")
        publish, feed.publish = feed.publish, lambda pipe, batch: None
        try:
            tell_own(desk, "15")
        finally:
            feed.publish = publish
        assert readers.price() == ("14", "LAST_TRADE", False), "nobody has told"
        readers.expect_own("15")
        old = feed.Batch(GROUP, 0, 0, 1, "2026-01-01T00:00:00Z", [], [], [])
        desk.client.publish(feed_channel(GROUP), feed.encode(old))
        desk.client.publish(feed_channel(GROUP), b"rubbish")
        desk.take_over()
        tell_own(desk, "16")
        readers.expect("16", "LAST_TRADE")


def test_a_poke_sends_the_check_and_does_without_redis(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    Poke()()
    Poke()()
    assert desk.client.llen("stops") == 2
    monkeypatch.setattr(app.conf, "broker_url", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
    Poke()()
    assert desk.client.llen("stops") == 2


def test_the_back_office_shows_prices_and_changes_none(desk: Desk) -> None:
    instrument = Instrument.objects.get()
    row = {"price": Decimal("0.25"), "source": "LAST_TRADE", "stale": False, "priced_at": datetime.now(UTC)}
    Price.objects.create(instrument=instrument, **row)
    ContentType.objects.clear_cache()  # their rows go with the test that made them
    client = signed_in(staff())
    shown = client.get("/admin/marketdata/price/")
    assert shown.status_code == 200
    assert "0.25<" in shown.content.decode()
    page = f"/admin/marketdata/price/{instrument.pk}/change/"
    assert client.get(page).status_code == 200
    assert client.post(page, {"price": "1"}).status_code == 403


def test_redis_and_postgresql_may_go_and_come(
    outside: Outside, follow: Follow, settings_of: Settings, desk: Desk
) -> None:
    with follow(settings_of) as readers:
        eventually(lambda: outside.connections)
        outside.play([trade(OUTSIDE, "13.8")])
        readers.expect("13.8", "BINANCE_WS")
        desk.client.flushdb()
        readers.expect("13.8", "BINANCE_WS")
        assert readers.stop_price() == "13.8"

        with connect_redis() as other:
            own = other.client_id()
            for client in other.client_list():
                if int(client["id"]) != own and client["sub"] == client["psub"] == "0":
                    other.client_kill_filter(_id=client["id"])
        sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'exchange prices'"
        )
        outside.play([trade(OUTSIDE, "13.85")])
        readers.expect("13.85", "BINANCE_WS")
        eventually(lambda: Price.objects.filter(price=Decimal("13.85")).exists())
        tell_own(desk, "14")
        outside.silence()
        readers.expect("14", "LAST_TRADE")
