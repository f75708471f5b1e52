"""The schemas of events: complete, strict, and what our own code writes is what they say."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from exchange.base.ids import uuid7
from exchange.base.times import now_text
from exchange.platform.events import asyncapi, outbox, schema
from exchange.platform.events.topics import KEYS, TOPICS
from matching.core.commands import Place
from matching.core.types import OrderType, Side, TimeInForce
from matching.order_view import TermTexts
from trading.orders import events

STAMP: dict[str, Any] = {"trace_id": "trace-1", "timestamp": now_text()}
TERMS = Place(uuid7(), 1, uuid7(), Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 10010, 15)
TEXTS = TermTexts("BUY", "LIMIT", "GTC", False, "CANCEL_NEWEST", "1.5", "100.10", None)
ORDER: dict[str, Any] = {
    "number": 1,
    "symbol": "BTC/USDT",
    "status": "OPEN",
    "filled_quantity": "0",
    "remaining_quantity": "1.5",
    "reason": "",
}
TRADE: dict[str, Any] = {
    "trade_id": uuid7(),
    "number": 1,
    "symbol": "BTC/USDT",
    "price": "100.10",
    "quantity": "0.5",
    **{name: uuid7() for name in ("buyer_order", "seller_order", "buyer", "seller")},
    "buyer_fee": "0.0005",
    "seller_fee": "0",
    "is_buyer_maker": True,
}
BOOK: dict[str, Any] = {
    "symbol": "BTC/USDT",
    "sequence": 7,
    "bids": [("100.10", "0")],
    "asks": [("100.20", "3")],
}
LINES = {
    "ORDER_STATUS_CHANGED": events.order_event(TERMS, TEXTS, **ORDER, **STAMP),
    "TRADE_EXECUTED": events.trade_event(**TRADE, **STAMP),
    "MARKET_STATUS_CHANGED": events.market_event(symbol="BTC/USDT", status="HALTED", **STAMP),
    "BOOK_CHANGED": events.book_event(**BOOK, **STAMP),
}


def read(line: str) -> tuple[str, dict[str, Any]]:
    """Topic and envelope of a line as COPY gets it."""
    topic, _, text = line[:-1].split("\t")
    return topic, json.loads(text)


def test_each_schema_is_one_and_each_topic_has_an_event() -> None:
    for each in schema.schemas().values():
        Draft202012Validator.check_schema(each)
    assert {each["x-topic"] for each in schema.schemas().values()} == set(TOPICS) == set(KEYS)


@pytest.mark.parametrize("event_type", LINES)
def test_what_is_written_as_text_is_what_the_schema_says(event_type: str) -> None:
    topic, envelope = read(LINES[event_type])
    assert envelope["event_type"] == event_type
    schema.check(topic, envelope)


def test_an_envelope_is_as_the_schemas_have_it() -> None:
    payload = {"user_id": uuid7(), "asset": "BTC", "amount": "1.5", "transaction_id": uuid7()}
    schema.check("account.events", json.loads(outbox.message("DEPOSITED", payload, trace_id="")))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("price", 100.1),
        ("price", "1e5"),
        ("price", "-1"),
        ("price", "0"),
        ("trade_id", "1"),
        ("symbol", "BTCUSDT"),
        ("number", "1"),
        ("more", "x"),
    ],
)
def test_a_wrong_value_is_told_with_its_place(field: str, value: Any) -> None:
    topic, envelope = read(LINES["TRADE_EXECUTED"])
    envelope["payload"][field] = value
    with pytest.raises(ValueError, match=r"TRADE_EXECUTED \$\.payload"):
        schema.check(topic, envelope)


@pytest.mark.parametrize("field", ["event_id", "schema_version", "timestamp", "trace_id", "payload"])
def test_nothing_may_be_missing(field: str) -> None:
    topic, envelope = read(LINES["TRADE_EXECUTED"])
    for wrong in (copy.deepcopy(envelope), copy.deepcopy(envelope["payload"])):
        wrong.pop(field, None)
        wrong["event_type"] = "TRADE_EXECUTED"
        with pytest.raises(ValueError, match="TRADE_EXECUTED"):
            schema.check(topic, wrong)


def test_an_event_belongs_to_its_topic() -> None:
    _, envelope = read(LINES["TRADE_EXECUTED"])
    with pytest.raises(ValueError, match=r"belongs to trade\.events"):
        schema.check("order.events", envelope)
    with pytest.raises(ValueError, match="no event type"):
        schema.check("order.events", {"event_type": "NOTHING"})


def test_the_asyncapi_document_is_whole() -> None:
    document = asyncapi.document()
    assert set(document["channels"]) == set(TOPICS)

    def resolve(reference: str) -> Any:
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return found

    def walk(part: Any) -> int:
        if isinstance(part, list):
            return sum(map(walk, part))
        if not isinstance(part, dict):
            return 0
        if "$ref" in part:
            assert resolve(part["$ref"]) is not None
        return ("$ref" in part) + sum(map(walk, part.values()))

    assert walk(document) > 50
    validator = Draft202012Validator(
        {
            **document,
            "$ref": "#/components/schemas/TRADE_EXECUTED",
            "$schema": Draft202012Validator.META_SCHEMA["$id"],
        }
    )
    validator.validate(read(LINES["TRADE_EXECUTED"])[1])
