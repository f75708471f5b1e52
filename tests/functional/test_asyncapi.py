"""The AsyncAPI document says what is on the wire: captured frames of every kind are held against it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from websockets.sync.client import ClientConnection, connect

from tests.functional.live import Live, Trader

PATIENCE = 30.0  # seconds
PUBLIC = ["orderbook.BTC/USDT", "orderbook.BTC/USDT@100ms", "trades.BTC/USDT", "ticker.BTC/USDT"]
CANDLES = [f"candles.BTC/USDT.{interval}" for interval in ("1m", "5m", "15m", "1h", "4h", "1d")]
PRIVATE = ["user.orders", "user.trades", "user.balances", "user.notifications"]
KINDS = {
    *("ACK", "ERROR", "HEARTBEAT", "SNAPSHOT", "ORDERBOOK_UPDATE", "TRADE", "TICKER", "CANDLE"),
    *("ORDER_UPDATE", "USER_TRADE", "BALANCE_UPDATE", "NOTIFICATION"),
}


@pytest.fixture
def socket(live: Live) -> Iterator[ClientConnection]:
    url = f"ws://127.0.0.1:{live.stack.env['EXCHANGE_WS_PORT']}/stream"
    with connect(url) as connection:
        yield connection


def capture(socket: ClientConnection, trader: Trader, other: Trader) -> list[dict[str, Any]]:
    """Frames until there is one of each kind, and a SNAPSHOT of each channel."""
    socket.send(json.dumps({"type": "AUTH", "token": trader.token, "id": 1}))
    socket.send(json.dumps({"type": "SUBSCRIBE", "channels": ["nothing", *PUBLIC, *CANDLES, *PRIVATE]}))
    socket.send(json.dumps({"type": "PING", "id": "x"}))
    frames: list[dict[str, Any]] = []
    started = threading.Event()

    def missing() -> set[str]:
        seen = {frame["type"] for frame in frames}
        shown = {frame["channel"] for frame in frames if frame["type"] == "SNAPSHOT"}
        return (KINDS - seen) | ({*PUBLIC, *CANDLES, *PRIVATE} - shown)

    while missing():
        frames.append(json.loads(socket.recv(timeout=PATIENCE)))
        if not started.is_set() and {*PUBLIC, *PRIVATE} <= {
            frame.get("channel") for frame in frames if frame["type"] == "SNAPSHOT"
        }:
            started.set()
            other.sell("0.1", "50000")
            trader.buy("0.1", "50000")
    return frames


def test_captured_frames_are_as_the_document_says(
    notified: Live, socket: ClientConnection, alice: Trader, bob: Trader
) -> None:
    document = notified.public.get(f"{notified.host}/api/asyncapi").json()
    assert document["asyncapi"] == "3.0.0"
    sent = {
        operation["messages"][0]["$ref"].rsplit("/", 1)[1]
        for operation in document["operations"].values()
        if operation["action"] == "send"
    } | {"Ack"}
    validators = {
        name: Draft202012Validator(
            {**document["components"]["messages"][name]["payload"], "components": document["components"]}
        )
        for name in sent
    }
    seen = set()
    for frame in capture(socket, alice, bob):
        matching = [name for name, validator in validators.items() if validator.is_valid(frame)]
        assert len(matching) == 1, (frame, matching)
        seen.add(matching[0])
    assert seen == sent


def test_a_frame_that_is_otherwise_is_found() -> None:
    """The check above can fail."""
    from marketdata.stream.asyncapi import document

    made = document("ws://localhost:8081/stream")
    validator = Draft202012Validator(
        {**made["components"]["messages"]["TradeMessage"]["payload"], "components": made["components"]}
    )
    trade = {
        "type": "TRADE",
        "channel": "trades.BTC/USDT",
        "epoch": "a-1",
        "sequence": 1,
        "timestamp": "2026-11-22T20:15:00.123Z",
        "data": {
            "trade_id": "x",
            "number": 1,
            "price": "1.00",
            "quantity": "1",
            "side": "BUY",
            "is_buyer_maker": False,
            "executed_at": "2026-11-22T20:15:00.123Z",
        },
    }
    assert validator.is_valid(trade)
    assert not validator.is_valid(trade | {"channel": "orderbook.BTC/USDT"})
    assert not validator.is_valid(trade | {"more": 1})
    assert not validator.is_valid(trade | {"data": trade["data"] | {"price": 1.0}})  # type: ignore[operator]
