"""What `POST orders` and `PATCH orders/{id}` take and refuse, before funds or the market are looked at."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.base.http.problems import FieldError, Problem
from matching.core.scale import InstrumentScale
from matching.core.types import MarketStatus, OrderType, SelfTradePrevention, Side, TimeInForce
from matching.order_view import OrderView
from trading.api import order_request, parameters
from trading.api.json_body import load
from trading.orders.order import NewOrder
from trading.reference.catalog import AssetView, Catalog, Market

BTC, USDT, YEN = AssetView(1, "BTC", 8), AssetView(2, "USDT", 8), AssetView(3, "JPY", 0)


def market(number: int, quote: AssetView, tick: str, lot: str, most: int, least_notional: int) -> Market:
    scale = InstrumentScale(Decimal(tick), Decimal(lot), BTC.scale, quote.scale)
    return Market(
        id=number,
        symbol=f"BTC/{quote.code}",
        base=BTC,
        quote=quote,
        scale=scale,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_lots=2,
        max_lots=most,
        min_notional=least_notional,
        collar_ppm=50_000,
        group="alpha",
        status=MarketStatus.TRADING,
    )


DOLLAR = market(1, USDT, "0.25", "0.001", 1_000_000, 10 * 10**8)
YENS = market(2, YEN, "1", "1", 10**15, 1)

LIMIT = {
    "symbol": "BTC/USDT",
    "side": "BUY",
    "order_type": "LIMIT",
    "quantity": "0.5",
    "price": "50000.25",
    "client_order_id": "one",
}
MARKET = {
    "symbol": "BTC/USDT",
    "side": "SELL",
    "order_type": "MARKET",
    "quantity": "0.5",
    "client_order_id": "one",
}
STOP = MARKET | {"order_type": "STOP", "stop_price": "49000"}
STOP_LIMIT = LIMIT | {"order_type": "STOP_LIMIT", "stop_price": "49000"}


@pytest.fixture(autouse=True)
def known_markets(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog()
    catalog._loaded_at = float("inf")
    catalog._by_id = {each.id: each for each in (DOLLAR, YENS)}
    catalog._by_symbol = {name: each for each in (DOLLAR, YENS) for name in (each.symbol, each.slug)}
    monkeypatch.setattr(order_request, "catalog", catalog)
    monkeypatch.setattr(parameters, "catalog", catalog)


def draft(fields: dict[str, Any]) -> NewOrder:
    result = order_request.read_order(load(json.dumps(fields).encode()), "user", "trace")
    assert isinstance(result, NewOrder), result
    return result


def errors(fields: dict[str, Any] | str) -> dict[str, FieldError]:
    text = fields if isinstance(fields, str) else json.dumps(fields)
    result = order_request.read_order(load(text.encode()), "user", "trace")
    assert isinstance(result, list), result
    return {error.field: error for error in result}


def test_a_limit_order() -> None:
    order, terms = draft(LIMIT), draft(LIMIT).terms
    assert (order.market, terms.side, terms.type) == (DOLLAR, Side.BUY, OrderType.LIMIT)
    assert (terms.quantity, terms.price, terms.stop_price) == (500, 200_001, 0)
    assert terms.time_in_force is TimeInForce.GTC
    assert terms.prevention is SelfTradePrevention.CANCEL_NEWEST
    assert (terms.post_only, terms.user, order.trace_id) == (False, "user", "trace")


@pytest.mark.parametrize(
    ("fields", "price", "stop_price", "time_in_force"),
    [
        (MARKET, 0, 0, TimeInForce.IOC),
        (MARKET | {"time_in_force": "FOK"}, 0, 0, TimeInForce.FOK),
        (STOP, 0, 196_000, TimeInForce.IOC),
        (STOP_LIMIT, 200_001, 196_000, TimeInForce.GTC),
        (STOP_LIMIT | {"time_in_force": "IOC"}, 200_001, 196_000, TimeInForce.IOC),
        (LIMIT | {"time_in_force": None, "stop_price": None}, 200_001, 0, TimeInForce.GTC),
        (LIMIT | {"price": "050000.2500"}, 200_001, 0, TimeInForce.GTC),
        (LIMIT | {"symbol": "BTC-USDT"}, 200_001, 0, TimeInForce.GTC),
    ],
)
def test_other_orders(
    fields: dict[str, Any], price: int, stop_price: int, time_in_force: TimeInForce
) -> None:
    order = draft(fields).terms
    assert (order.price, order.stop_price, order.time_in_force) == (price, stop_price, time_in_force)


@pytest.mark.parametrize(
    ("change", "field", "code", "says"),
    [
        ({"symbol": "BTC/EUR"}, "symbol", "unknown_symbol", "BTC/USDT, BTC/JPY"),
        ({"symbol": None}, "symbol", "missing", "BTC/USDT, BTC/JPY"),
        ({"symbol": 5}, "symbol", "invalid", "BTC/USDT, BTC/JPY"),
        ({"symbol": ["BTC/USDT"]}, "symbol", "invalid", "BTC/USDT, BTC/JPY"),
        ({"side": "buy"}, "side", "invalid", 'one of BUY, SELL, not "buy"'),
        ({"side": 1}, "side", "invalid", "one of BUY, SELL"),
        ({"order_type": "ICEBERG"}, "order_type", "invalid", "MARKET, LIMIT, STOP, STOP_LIMIT"),
        ({"order_type": None}, "order_type", "missing", "MARKET, LIMIT, STOP, STOP_LIMIT"),
        ({"time_in_force": "DAY"}, "time_in_force", "invalid", "GTC, IOC, FOK"),
        ({"self_trade_prevention": ""}, "self_trade_prevention", "invalid", "CANCEL_NEWEST"),
        ({"post_only": "true"}, "post_only", "invalid", "true or false"),
        ({"post_only": 1}, "post_only", "invalid", "true or false"),
        ({"post_only": True, "time_in_force": "IOC"}, "post_only", "not_allowed", "LIMIT with GTC"),
        ({"post_only": True, "time_in_force": "FOK"}, "post_only", "not_allowed", "LIMIT with GTC"),
        ({"price": None}, "price", "missing", "a LIMIT order needs one"),
        ({"price": "50000.1"}, "price", "tick_size", "0.25, such as 50000"),
        ({"price": "0.1"}, "price", "tick_size", "0.25, such as 0.25"),
        ({"price": "0"}, "price", "too_small", "at least 0.25"),
        ({"price": "0.00"}, "price", "too_small", "at least 0.25"),
        ({"price": "999999999999999999"}, "price", "too_large", "at most 250000000000000"),
        ({"price": 50000}, "price", "invalid", 'a string such as "1.5"'),
        ({"price": 50000.25}, "price", "invalid", 'a string such as "1.5"'),
        ({"price": True}, "price", "invalid", 'a string such as "1.5"'),
        ({"price": {"value": "1"}}, "price", "invalid", 'a string such as "1.5"'),
        ({"stop_price": "49000"}, "stop_price", "not_allowed", "a LIMIT order has none"),
        ({"quantity": "0.0005"}, "quantity", "lot_size", "0.001, such as 0.001"),
        ({"quantity": "1.0001"}, "quantity", "lot_size", "0.001, such as 1"),
        ({"quantity": "0"}, "quantity", "too_small", "at least 0.002"),
        ({"quantity": "0.001"}, "quantity", "too_small", "at least 0.002"),
        ({"quantity": "1000.001"}, "quantity", "too_large", "at most 1000"),
        ({"quantity": "0.002", "price": "0.25"}, "quantity", "min_notional", "at least 10 USDT, not 0.0005"),
        ({"quantity": None}, "quantity", "missing", "a string"),
        ({"client_order_id": None}, "client_order_id", "missing", "1 to 100"),
        ({"client_order_id": ""}, "client_order_id", "invalid", "1 to 100"),
        ({"client_order_id": "x" * 101}, "client_order_id", "invalid", "1 to 100"),
        ({"client_order_id": "a\x00b"}, "client_order_id", "invalid", "printable"),
        ({"client_order_id": "a\nb"}, "client_order_id", "invalid", "printable"),
        ({"client_order_id": "\ud800"}, "client_order_id", "invalid", "printable"),
        ({"client_order_id": 7}, "client_order_id", "invalid", "printable"),
        ({"prize": "1"}, "prize", "unknown", "symbol, side"),
    ],
)
def test_one_wrong_field_is_named_alone(change: dict[str, Any], field: str, code: str, says: str) -> None:
    found = errors(LIMIT | change)
    assert list(found) == [field]
    assert found[field].code == code
    assert says in found[field].detail


NOT_DECIMALS = ["NaN", "Infinity", "-1", "+1", "1e400", "1E5", "0x10", "1.", ".5", "1,5", "1_0", "١", "1\n"]


@pytest.mark.parametrize("field", ["price", "quantity"])
@pytest.mark.parametrize("text", [*NOT_DECIMALS, "", " 1", "1 ", "1" * 19, f"1.{'1' * 19}", "1.2.3"])
def test_only_plain_decimals(field: str, text: str) -> None:
    found = errors(LIMIT | {field: text})
    assert (list(found), found[field].code) == ([field], "invalid")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "-Infinity", "0.1", "9" * 5000])
def test_a_json_number_is_told_by_field_however_strange(number: str) -> None:
    body = json.dumps(LIMIT).replace('"50000.25"', number)
    assert list(errors(body)) == ["price"]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        (MARKET | {"price": "50000"}, ["price"]),
        (MARKET | {"time_in_force": "GTC"}, ["time_in_force"]),
        (MARKET | {"post_only": True}, ["post_only"]),
        (MARKET | {"stop_price": "49000"}, ["stop_price"]),
        (STOP | {"stop_price": None}, ["stop_price"]),
        (STOP | {"price": "49000"}, ["price"]),
        (STOP | {"time_in_force": "GTC"}, ["time_in_force"]),
        (STOP | {"stop_price": "49000.1"}, ["stop_price"]),
        (STOP_LIMIT | {"price": None, "stop_price": None}, ["price", "stop_price"]),
        (STOP_LIMIT | {"post_only": True}, ["post_only"]),
    ],
)
def test_what_goes_with_which_type(fields: dict[str, Any], wrong: list[str]) -> None:
    assert list(errors(fields)) == wrong


def test_everything_wrong_is_said_at_once() -> None:
    fields = {
        "symbol": "BTC/EUR",
        "side": "HOLD",
        "quantity": "NaN",
        "price": 1.5,
        "client_order_id": "",
        "post_only": "no",
        "self_trade_prevention": "NONE",
        "extra": 1,
    }
    assert set(errors(fields)) == {*fields, "order_type"}


def test_an_empty_object_lacks_what_is_required() -> None:
    found = errors({})
    assert {field: error.code for field, error in found.items()} == dict.fromkeys(
        ["symbol", "side", "order_type", "client_order_id", "quantity"], "missing"
    )


@pytest.mark.parametrize("body", ["[]", "5", '"text"', "null", "true"])
def test_not_an_object(body: str) -> None:
    assert list(errors(body)) == [""]


def test_a_name_given_twice() -> None:
    body = json.dumps(LIMIT)[:-1]
    for again in ('"price": "1"}', '"post_only": true, "post_only": false}', '"side": "BUY"}'):
        field = again.split('"')[1]
        found = errors(f"{body}, {again}")
        assert {name: error.code for name, error in found.items()} == {field: "duplicate"}


def test_what_is_sent_back_of_a_strange_name_can_be_encoded() -> None:
    found = errors('{"\\ud800' + "x" * 100 + '": 1, "side": "\\udfff"}')
    assert all((name + error.detail).encode() for name, error in found.items())
    assert max(map(len, found)) < 60


def test_what_an_order_is_worth_is_bounded() -> None:
    yens = {"symbol": "BTC/JPY", "price": "1000000000000000", "quantity": "1000"}
    found = errors(LIMIT | yens)
    assert (list(found), found["quantity"].code) == (["quantity"], "too_large")
    assert draft(LIMIT | yens | {"quantity": "999"}).terms.quantity == 999


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff{}", b'{"a": 1}{', b"[" * 100_000, b"\xef\xbb\xbf{}", b"{'a': 1}"]
)
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(Problem, match="not JSON") as raised:
        load(body)
    assert (raised.value.status, raised.value.code) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"quantity": "0.500", "price": "50000.250"}, True),
        ({"time_in_force": "GTC", "post_only": False, "stop_price": None}, True),
        ({"symbol": "BTC-USDT", "self_trade_prevention": "CANCEL_NEWEST"}, True),
        ({"client_order_id": "two"}, True),
        ({"side": "SELL"}, False),
        ({"quantity": "0.501"}, False),
        ({"price": "50000.5"}, False),
        ({"post_only": True}, False),
        ({"time_in_force": "IOC"}, False),
        ({"self_trade_prevention": "DECREMENT"}, False),
    ],
)
def test_the_fingerprint_is_of_the_meaning(change: dict[str, Any], same: bool) -> None:
    first, second = draft(LIMIT).fingerprint, draft(LIMIT | change).fingerprint
    assert (first == second) is same
    assert -(2**63) <= second < 2**63


TEXTS = st.text("05.-eNB\x00", max_size=6) | st.sampled_from(["1.5", "BUY", "LIMIT", "STOP", "BTC/USDT"])
VALUES = st.none() | st.booleans() | st.floats() | TEXTS


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*order_request.ORDER_FIELDS, "other"]), VALUES | st.lists(VALUES, max_size=2)
    )
)
def test_any_json_is_a_draft_or_named_errors(fields: dict[str, Any]) -> None:
    result = order_request.read_order(load(json.dumps(fields).encode()), "user", "trace")
    if isinstance(result, list):
        assert result
        assert {error.field for error in result} <= {*order_request.ORDER_FIELDS, "other"}


@settings(deadline=None)
@given(st.integers(1, 10**9), st.integers(2, 10**6))
def test_ticks_and_lots_come_back_as_they_were(ticks: int, lots: int) -> None:
    fields = LIMIT | {"price": DOLLAR.scale.price_text(ticks), "quantity": DOLLAR.scale.quantity_text(lots)}
    result = order_request.read_order(load(json.dumps(fields).encode()), "user", "trace")
    if isinstance(result, NewOrder):
        assert (result.terms.price, result.terms.quantity) == (ticks, lots)
    else:
        assert ticks * lots * 25 < 10 * 100_000
        assert [error.code for error in result] == ["min_notional"]


def open_order(**fields: Any) -> OrderView:
    known = dict.fromkeys(OrderView.__struct_fields__, "")
    return OrderView(**(known | {"quantity": "0.5", "price": "50000"} | fields))


def amendment(body: str, **order: Any) -> Any:
    return order_request.read_amendment(load(body.encode()), DOLLAR, open_order(**order))


def test_an_amendment() -> None:
    assert amendment('{"price": "49000"}') == (196_000, None)
    assert amendment('{"quantity": "0.25", "price": null}') == (None, 250)
    assert amendment('{"price": "49000", "quantity": "0.25"}') == (196_000, 250)
    assert amendment('{"quantity": "0.25"}', price=None) == (None, 250)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ("{}", {"": "missing"}),
        ("[]", {"": "invalid"}),
        ('{"price": null}', {"": "missing"}),
        ('{"price": "1.1", "quantity": "0"}', {"price": "tick_size", "quantity": "too_small"}),
        ('{"side": "SELL", "price": "5"}', {"side": "unknown"}),
        ('{"price": "0.25"}', {"quantity": "min_notional"}),
    ],
)
def test_a_wrong_amendment(body: str, wrong: dict[str, str]) -> None:
    assert {error.field: error.code for error in amendment(body)} == wrong
