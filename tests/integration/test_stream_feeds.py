"""Feeds on a real database and a real Redis: settlements in, messages out, and what happens when some are lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from asgiref.sync import async_to_sync
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator

from exchange.asgi import application
from exchange.platform.members import tokens
from exchange.platform.members.models import User
from marketdata.candles.aggregate import aggregate
from marketdata.stream import client_requests, queries
from marketdata.stream import hub as hub_module
from marketdata.stream.hub import Hub
from marketdata.stream.limits import Rate
from marketdata.stream.private import OrdersChannel
from marketdata.stream.tasks import Tasks
from marketdata.tickers.announce import Announcer
from matching.core.scale import InstrumentScale
from matching.feed import Batch, OrderNote
from matching.order_view import UserOrder
from tests.follower import DEPTH, Follower
from tests.market import SYMBOL, Desk, open_desk
from trading.ledger.accounts import deposit
from trading.models import Asset

PATIENCE = 10.0
BOOK, TRADES = f"orderbook.{SYMBOL}", f"trades.{SYMBOL}"

pytestmark = pytest.mark.django_db(transaction=True)


class Client:
    """One socket, and what a follower made of everything that came."""

    def __init__(self) -> None:
        self.socket = WebsocketCommunicator(application, "/stream")
        self.known = Follower()

    async def say(self, type: str, **fields: Any) -> None:
        await self.socket.send_json_to({"type": type, **fields})

    async def answer(self, type: str, **fields: Any) -> Any:
        """What comes next that belongs to no channel."""
        self.known.rest.clear()
        await self.say(type, **fields)
        await self.until(lambda: self.known.rest)
        return self.known.rest[0]

    async def until(self, seen: Callable[[], Any]) -> None:
        """Take messages until `seen` says so."""
        async with asyncio.timeout(PATIENCE):
            while not seen():
                self.known.take(json.loads(await self.socket.receive_from(PATIENCE)))

    async def subscribe(self, *channels: str) -> None:
        await self.say("SUBSCRIBE", channels=list(channels))
        names = [channel.replace("-", "/") for channel in channels]
        await self.until(lambda: all(self.known[name].snapshots for name in names))


class Stage:
    """A desk whose worker tells Redis, and the hub that listens."""

    def __init__(self, desk: Desk, hub: Hub) -> None:
        self.desk = desk
        self.hub = hub
        self.market = desk.market

    @contextlib.asynccontextmanager
    async def client(self, user: str = "") -> AsyncIterator[Client]:
        client = Client()
        accepted, _ = await client.socket.connect()
        assert accepted
        if user:
            token = await self.do(lambda: tokens.access(User.objects.get(pk=user)))
            assert (await client.answer("AUTH", token=token))["for"] == "AUTH"
        yield client
        await client.socket.disconnect()

    async def do(self, what: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """On the test's own thread, which has the database."""
        return await database_sync_to_async(what)(*arguments, **named)

    async def trade(self, user: str, side: str, quantity: str, price: str | None = None) -> str:
        order: str = await self.do(self.desk.trade, user, side, quantity, price)
        return order

    async def sign(self) -> None:
        """The worker writes its books, as it does each second."""
        await self.do(self.desk.worker._snapshot)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with open_desk() as opened:
        opened.worker._connected = True
        yield opened


@pytest.fixture
def play(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Stage], Awaitable[None]]], None]:
    """Runs a scene with a hub that has heard the worker."""
    hub = Hub()
    monkeypatch.setattr(client_requests, "hub", hub)

    def run(scene: Callable[[Stage], Awaitable[None]]) -> None:
        stage = Stage(desk, hub)

        async def main() -> None:
            running = asyncio.create_task(hub.run())
            async with stage.client() as client:
                await client.until(lambda: client.known.beats)
                await stage.sign()
                await client.subscribe(BOOK)
            await scene(stage)
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

        async_to_sync(main)()

    return run


def book(stage: Stage) -> tuple[Any, Any]:
    """The worker's, as clients are shown it."""
    scale = stage.market.scale
    bids, asks = stage.desk.worker._engine.books[stage.market.id].depth(DEPTH)
    return _text(scale, bids), _text(scale, asks)


def _text(scale: InstrumentScale, levels: list[tuple[int, int]]) -> list[tuple[str, str]]:
    return [(scale.price_text(price), scale.quantity_text(lots)) for price, lots in levels]


def test_books_and_trades(play: Any, desk: Desk) -> None:
    seller, buyer = desk.user(BTC="10"), desk.user(USDT="1000000")

    async def scene(stage: Stage) -> None:
        await stage.trade(seller, "SELL", "1", "50000")
        async with stage.client() as client:
            await client.subscribe("orderbook.BTC-USDT", "orderbook.BTC-USDT@100ms", TRADES)
            known = client.known
            assert known[BOOK].sides() == ([], [("50000.00", "1.0000")])
            await stage.trade(seller, "SELL", "1", "50001")
            await stage.trade(buyer, "BUY", "1.5", "50002")
            await stage.trade(buyer, "BUY", "2", "49000")
            await client.until(lambda: len(known[BOOK].told) == 3)
            await client.until(lambda: known[f"{BOOK}@100ms"].sides() == known[BOOK].sides())
            assert known[BOOK].sides() == book(stage)
            assert len(known[f"{BOOK}@100ms"].told) <= len(known[BOOK].told)
            assert [(each["number"], each["price"], each["quantity"]) for each in known[TRADES].told] == [
                (1, "50000.00", "1.0000"),
                (2, "50001.00", "0.5000"),
            ]
            async with stage.client() as other:
                await other.subscribe(TRADES)
                assert other.known[TRADES].sequence == 2
                assert other.known[TRADES].start["trades"] == known[TRADES].told
            market = stage.hub.markets.get(SYMBOL)
            read = await stage.do(queries.trades, market, 50)
            assert msgspec.to_builtins(read) == known[TRADES].told, "as a process reads them that starts now"

    play(scene)


def test_what_is_missed_brings_a_new_epoch_and_the_right_state(play: Any, desk: Desk) -> None:
    seller, buyer = desk.user(BTC="10"), desk.user(USDT="1000000")

    async def scene(stage: Stage) -> None:
        async with stage.client(seller) as client:
            known = client.known
            channels = (BOOK, TRADES, "user.orders", "user.trades")
            await client.subscribe(*channels)
            first = await stage.trade(seller, "SELL", "1", "50000")
            await client.until(lambda: known[BOOK].told and known["user.orders"].told)
            epochs = {name: known[name].epoch for name in channels}
            desk.worker._connected = False
            await stage.trade(buyer, "BUY", "0.4", "50000")
            second = await stage.trade(seller, "SELL", "2", "50010")
            desk.worker._connected = True
            await stage.sign()
            await client.until(lambda: all(known[name].epoch != epochs[name] for name in channels))
            assert (
                known[BOOK].sides() == book(stage) == ([], [("50000.00", "0.6000"), ("50010.00", "2.0000")])
            )
            assert [each["quantity"] for each in known[TRADES].start["trades"]] == ["0.4000"]
            open_orders = {each["order_id"]: each for each in known["user.orders"].start["orders"]}
            assert open_orders.keys() == {first, second}
            assert open_orders[first]["status"] == "PARTIALLY_FILLED"
            assert [each["quantity"] for each in known["user.trades"].start["trades"]] == ["0.4"]
            await stage.trade(buyer, "BUY", "0.6", "50000")
            await client.until(lambda: known["user.trades"].told)
            await client.until(lambda: known["user.orders"].told)
            assert known["user.orders"].told[-1]["status"] == "FILLED"

    play(scene)


def test_another_worker_and_an_empty_redis(play: Any, desk: Desk) -> None:
    seller = desk.user(BTC="10")

    async def scene(stage: Stage) -> None:
        async with stage.client() as client:
            known = client.known
            await client.subscribe(BOOK)
            await stage.trade(seller, "SELL", "1", "50000")
            await client.until(lambda: known[BOOK].told)
            epoch = known[BOOK].epoch
            await stage.do(desk.take_over)
            desk.worker._connected = True
            await stage.sign()
            await client.until(lambda: known[BOOK].epoch != epoch)
            assert known[BOOK].sides() == book(stage)
            epoch = known[BOOK].epoch
            desk.client.flushdb()
            await stage.trade(seller, "SELL", "1", "50001")
            await client.until(lambda: known[BOOK].told)
            assert known[BOOK].epoch == epoch, "nothing was missed"
            assert known[BOOK].sides() == book(stage)

    play(scene)


def test_a_user_sees_only_their_own_and_balances_follow(play: Any, desk: Desk) -> None:
    seller, buyer = desk.user(BTC="10"), desk.user(USDT="1000000")
    private = ("user.orders", "user.trades", "user.balances")

    async def scene(stage: Stage) -> None:
        async with stage.client(seller) as one, stage.client(buyer) as other:
            await one.subscribe(*private)
            await other.subscribe(*private)
            order = await stage.trade(seller, "SELL", "1", "50000")
            await one.until(lambda: one.known["user.balances"].told)
            changed = one.known["user.balances"].told[-1]["balances"]
            assert {"asset": "BTC", "available": "9", "held": "1", "total": "10"} in changed
            opened = one.known["user.orders"].told[-1]
            assert (opened["order_id"], opened["status"], opened["fee_asset"]) == (order, "OPEN", "USDT")
            await stage.trade(buyer, "BUY", "1", "50000")
            await other.until(lambda: other.known["user.trades"].told)
            (bought,) = other.known["user.trades"].told
            assert (bought["side"], bought["liquidity"], bought["fee"], bought["fee_asset"]) == (
                "BUY",
                "TAKER",
                "0.002",
                "BTC",
            )
            await one.until(lambda: one.known["user.trades"].told)
            (sold,) = one.known["user.trades"].told
            assert (sold["side"], sold["liquidity"], sold["fee"], sold["fee_asset"]) == (
                "SELL",
                "MAKER",
                "50",
                "USDT",
            )
            await one.until(
                lambda: any(
                    each["asset"] == "USDT" and each["available"] == "49950"
                    for told in one.known["user.balances"].told
                    for each in told["balances"]
                )
            )
            assert all(each["order_id"] != order for each in other.known["user.orders"].told)

            await stage.do(_deposit, buyer)
            desk.client.publish("users", json.dumps([buyer]))
            await other.until(
                lambda: (
                    {"asset": "ETH", "available": "3", "held": "0", "total": "3"}
                    in [each for told in other.known["user.balances"].told for each in told["balances"]]
                )
            )
            async with stage.client(buyer) as late:
                await late.subscribe(*private)
                assert late.known["user.trades"].start["trades"] == [bought]
                assert late.known["user.orders"].start["orders"] == []

    play(scene)


def _deposit(user: str) -> None:
    account = User.objects.get(pk=user)
    deposit(user=account, asset=Asset.objects.get(code="ETH"), amount=Decimal(3), trace_id="t")


def test_what_a_state_includes_is_not_told_again() -> None:
    note = OrderNote(
        "id", "c", 1, "ann", 1, "BUY", "LIMIT", "GTC", "5", None, None, "1", "0", "1", None, "0", "OPEN", ""
    )

    class Known:
        def by_id(self, instrument: int) -> Any:
            return type("Market", (), {"symbol": "BTC/USDT", "base": "BTC", "quote": "USDT"})

    def batch(group: str, sequence: int) -> Batch:
        return Batch(group, 1, sequence - 1, sequence, "2026-01-01T00:00:00Z")

    channel = OrdersChannel("user.orders", "ann", Known(), Tasks())  # type: ignore[arg-type]
    channel.adopt(({"alpha": 5}, []))
    channel.renew()
    channel.ordered(note, batch("alpha", 5))
    assert channel.sequence == 0
    channel.ordered(note, batch("alpha", 6))
    channel.ordered(note, batch("beta", 3))
    assert channel.sequence == 2
    assert isinstance(channel.state().orders[0], UserOrder)


def test_ticker_and_candles(play: Any, desk: Desk) -> None:
    seller, buyer = desk.user(BTC="10"), desk.user(USDT="1000000")
    ticker, minute, day = f"ticker.{SYMBOL}", f"candles.{SYMBOL}.1m", f"candles.{SYMBOL}.1d"

    async def scene(stage: Stage) -> None:
        async with stage.client() as client:
            known = client.known
            await client.subscribe(ticker, minute, day)
            assert known[day].start["candles"] == []
            await stage.trade(seller, "SELL", "3", "50000")
            await stage.trade(buyer, "BUY", "1", "50000")
            await stage.trade(buyer, "BUY", "0.5", "50000")
            await client.until(lambda: known[day].told and known[day].told[-1]["trades"] == 2)
            running = known[day].told[-1]
            assert (running["open"], running["volume"], running["quote_volume"], running["closed"]) == (
                "50000.00",
                "1.5000",
                "75000",
                False,
            )
            await stage.do(aggregate)
            await stage.do(Announcer().announce, {stage.market.id})
            price = {"symbol": SYMBOL, "price": "50100.5", "source": "BINANCE_WS", "stale": False}
            desk.client.publish("prices", json.dumps(price | {"timestamp": "2026-01-01T00:00:00Z"}))
            await client.until(lambda: known[ticker].told and known[ticker].told[-1]["trades"] == 2)
            await client.until(lambda: known[ticker].told[-1]["price"])
            now = known[ticker].told[-1]
            assert (now["last"], now["ask"], now["bid"], now["volume"]) == (
                "50000.00",
                "50000.00",
                None,
                "1.5000",
            )
            assert (now["price"], now["price_source"], now["stale"]) == ("50100.5", "BINANCE_WS", False)
            async with stage.client() as late:
                await late.subscribe(day, ticker)
                assert late.known[day].start["candles"] == [running]
                assert late.known[ticker].start == now

            later = Batch("alpha", desk.worker._snapshots.epoch, 4, 4, "2999-01-01T00:00:00.000Z")
            for channel in list(stage.hub._routes.times["alpha"]):
                channel.passed(later)
            await client.until(lambda: known[day].told[-1]["closed"])
            assert known[day].told[-1] == running | {"closed": True}

    play(scene)


def test_private_channels_end_with_the_token(play: Any, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    user = desk.user(BTC="1")
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.05)

    async def scene(stage: Stage) -> None:
        async with stage.client() as client:
            refused = await client.answer("SUBSCRIBE", channels=["user.orders"], id="x")
            assert (refused["code"], refused["channel"], refused["id"]) == (
                "not_authenticated",
                "user.orders",
                "x",
            )
        async with stage.client(user) as client:
            await client.subscribe("user.orders", BOOK)
            (connection,) = stage.hub._connections
            connection.expires_at = time.time()
            await client.until(lambda: client.known.rest and client.known.rest[-1]["type"] == "ERROR")
            assert client.known.rest[-1]["code"] == "token_expired"
            assert connection.channels.keys() == {BOOK}
            assert (await client.answer("SUBSCRIBE", channels=["user.orders"]))["code"] == "not_authenticated"
            token = await stage.do(lambda: tokens.access(User.objects.get(pk=user)))
            assert (await client.answer("AUTH", token=token))["user_id"] == user
            assert (await client.answer("SUBSCRIBE", channels=["user.orders"]))["channels"] == ["user.orders"]

    play(scene)


def test_limits(play: Any, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    user = desk.user(BTC="1")

    async def scene(stage: Stage) -> None:
        monkeypatch.setattr(client_requests, "env", type("Env", (), {"exchange_ws_subscriptions": 1}))
        async with stage.client() as client:
            await client.subscribe(BOOK)
            assert (await client.answer("SUBSCRIBE", channels=[TRADES]))["code"] == "too_many_subscriptions"
            assert (await client.answer("SUBSCRIBE", channels=[BOOK]))["type"] == "ACK"
            assert (await client.answer("UNSUBSCRIBE", channels=[BOOK]))["channels"] == [BOOK]
            await client.subscribe(TRADES)
        monkeypatch.setattr(client_requests, "Rate", lambda now: Rate(now, rate=0, burst=2))
        async with stage.client() as client:
            for number in range(3):
                await client.say("PING", id=number)
            await client.until(lambda: client.known.rest and client.known.rest[-1]["type"] == "ERROR")
            assert client.known.rest[-1]["code"] == "rate_limited"
        monkeypatch.setattr(client_requests, "Rate", Rate)

        stage.hub.users.limit = 1
        async with stage.client(user):
            token = await stage.do(lambda: tokens.access(User.objects.get(pk=user)))
            async with stage.client() as second:
                assert (await second.answer("AUTH", token=token))["code"] == "too_many_connections"
                assert (await second.answer("PING"))["type"] == "ACK"
        async with stage.client(user):
            pass

        stage.hub.addresses.limit = 1
        async with stage.client():
            refused = WebsocketCommunicator(application, "/stream")
            await refused.connect()
            assert (await refused.receive_json_from())["code"] == "too_many_connections"
            assert await refused.receive_output() == {
                "type": "websocket.close",
                "code": 4029,
                "reason": "An address may have 1 connections.",
            }
            await refused.disconnect()
        async with stage.client() as back:
            assert (await back.answer("PING"))["type"] == "ACK"

    play(scene)
