"""What goes wrong over HTTP, and that the answer says so: form, permissions, parameters, the rate."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from tests.functional.live import Live, Trader, problem

LIMIT = {
    "symbol": "BTC/USDT",
    "side": "BUY",
    "order_type": "LIMIT",
    "quantity": "0.5",
    "price": "50000",
    "client_order_id": "one",
}
JSON = {"Content-Type": "application/json"}
PRIVATE = [
    ("GET", "/orders"),
    ("POST", "/orders"),
    ("DELETE", "/orders"),
    ("POST", "/orders/batch"),
    ("GET", "/orders/01890a5d-ac96-774b-bcce-b302099a8057"),
    ("PATCH", "/orders/01890a5d-ac96-774b-bcce-b302099a8057"),
    ("DELETE", "/orders/01890a5d-ac96-774b-bcce-b302099a8057"),
    ("GET", "/trades/my"),
    ("GET", "/balances"),
    ("GET", "/ledger"),
]


def errors(body: Any) -> dict[str, str]:
    return {error["field"]: error["code"] for error in body["errors"]}


def test_all_wrong_fields_are_named_at_once(someone: Trader) -> None:
    wrong = LIMIT | {
        "symbol": "BTC/USDC",
        "side": "HOLD",
        "price": 50000.5,
        "quantity": "NaN",
        "colour": "red",
    }
    body = problem(someone.http.post("/orders", json=wrong), 400, "invalid_request")
    assert errors(body) == {
        "symbol": "unknown_symbol",
        "side": "invalid",
        "price": "invalid",
        "quantity": "invalid",
        "colour": "unknown",
    }
    details = {error["field"]: error["detail"] for error in body["errors"]}
    assert "BTC/TRY, BTC/USDT, ETH/USDT" in details["symbol"]
    assert 'a string such as "1.5"' in details["price"]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"price": "50000.001"}, {"price": "tick_size"}),
        ({"quantity": "0.000001"}, {"quantity": "lot_size"}),
        ({"quantity": "1000.00001"}, {"quantity": "too_large"}),
        ({"quantity": "0.00001"}, {"quantity": "min_notional"}),
        ({"price": None}, {"price": "missing"}),
        ({"order_type": "MARKET"}, {"price": "not_allowed"}),
        ({"order_type": "STOP_LIMIT"}, {"stop_price": "missing"}),
        ({"client_order_id": "a\x00b"}, {"client_order_id": "invalid"}),
    ],
)
def test_the_rules_of_a_market(someone: Trader, change: dict[str, Any], wrong: dict[str, str]) -> None:
    body = problem(someone.http.post("/orders", json=LIMIT | change), 400, "invalid_request")
    assert errors(body) == wrong


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b'{"symbol": ', "is not JSON"),
        (b"", "is not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[]", "must be an object"),
        (json.dumps(LIMIT).replace('"50000"', "1e400").encode(), "price must be a string"),
        (json.dumps(LIMIT).replace('"50000"', "NaN").encode(), "price must be a string"),
        (json.dumps(LIMIT)[:-1].encode() + b', "price": "1"}', "price is given twice"),
        (json.dumps(LIMIT).replace('"one"', '"\\ud800"').encode(), "client_order_id must be"),
    ],
)
def test_bodies_that_are_no_order(someone: Trader, content: bytes, wrong: str) -> None:
    body = problem(someone.http.post("/orders", content=content, headers=JSON), 400, "invalid_request")
    assert wrong in body["detail"]


@pytest.mark.parametrize(
    "content", [b"{}", b"[]", b'{"orders": []}', b'{"orders": 1}', b'{"orders": [{}], "\\ud800": 1}']
)
def test_bodies_that_are_no_batch(someone: Trader, content: bytes) -> None:
    problem(someone.http.post("/orders/batch", content=content, headers=JSON), 400, "invalid_request")


def test_a_body_of_ten_megabytes(live: Live, someone: Trader) -> None:
    """Refused after its head was read: the server may close the connection while the body is on its way."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(live.stack.env["EXCHANGE_HTTP_PORT"]), timeout=30
    )
    connection.putrequest("POST", "/api/v1/orders")
    for name, value in {
        "Authorization": f"Bearer {someone.token}",
        "Content-Length": "10000000",
        **JSON,
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    try:
        connection.send(b"[" * 10_000_000)
    except (BrokenPipeError, ConnectionResetError):
        assert "the answer came first"
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (413, "body_too_large")


def test_a_body_that_is_not_called_json(someone: Trader) -> None:
    content = json.dumps(LIMIT).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Content-Type": kind}
        problem(someone.http.post("/orders", content=content, headers=headers), 415, "unsupported_media_type")


@pytest.mark.parametrize(("method", "path"), PRIVATE)
def test_who_is_not_signed_in(live: Live, method: str, path: str) -> None:
    body = live.public.request(method, path)
    problem(body, 401, "not_authenticated")
    assert body.headers["www-authenticate"].startswith("Bearer")
    wrong = live.public.request(method, path, headers={"Authorization": "Bearer nonsense"})
    problem(wrong, 401, "invalid_token")


def test_an_operator_may_look_but_not_trade(live: Live) -> None:
    operator = live.sign_in("operator@demo.exchange", "demo-pass")
    assert operator.get("/orders") == {"items": [], "next_cursor": None}
    for method, path in PRIVATE:
        if method != "GET":
            problem(
                operator.http.request(method, path, json={} if method != "DELETE" else None), 403, "forbidden"
            )


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/orders?symbol=DOGE/USD", {"symbol": "unknown_symbol"}),
        ("/orders?status=OPEN,SHUT", {"status": "invalid"}),
        ("/orders?status=", {"status": "invalid"}),
        ("/orders?from=yesterday&to=2026-13-01T00:00:00Z", {"from": "invalid", "to": "invalid"}),
        ("/orders?from=2026-01-01T00:00:00", {"from": "invalid"}),
        ("/orders?limit=0&cursor=abc", {"limit": "invalid", "cursor": "invalid"}),
        ("/orders?limit=501", {"limit": "invalid"}),
        ("/orders?limit=ten", {"limit": "invalid"}),
        ("/orders?limit=1&limit=2", {"limit": "invalid"}),
        ("/orders?cursor=_____________________w", {"cursor": "invalid"}),
        ("/orders?symbl=BTC/USDT", {"symbl": "unknown"}),
        ("/trades", {"symbol": "missing"}),
        ("/trades?symbol=BTC", {"symbol": "unknown_symbol"}),
        ("/ledger?asset=btc", {"asset": "unknown_asset"}),
        ("/balances?asset=BTC", {"asset": "unknown"}),
        ("/orderbook/BTC-USDT?limit=5", {"limit": "unknown"}),
        ("/orderbook/BTC-USDT/depth?limit=0", {"limit": "invalid"}),
    ],
)
def test_wrong_parameters(someone: Trader, path: str, wrong: dict[str, str]) -> None:
    body = problem(someone.http.get(path), 400, "invalid_request")
    assert errors(body) == wrong


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"])
def test_moments_far_away(alice: Trader, moment: str) -> None:
    for name in ("from", "to"):
        assert alice.get("/orders", **{name: moment})["items"] == []


def test_a_misspelt_filter_cancels_nothing(alice: Trader) -> None:
    alice.buy("1", "100")
    problem(alice.http.delete("/orders?symbl=BTC-USDT"), 400, "invalid_request")
    assert [order["status"] for order in alice.get("/orders")["items"]] == ["OPEN"]


def test_too_many_parameters(someone: Trader) -> None:
    problem(someone.http.get("/orders?" + "&".join(f"a{n}=1" for n in range(1500))), 400, "invalid_request")


@pytest.mark.parametrize(
    "path", ["/orderbook/DOGE-USD", "/orderbook/x/depth", "/trades/17", "/nowhere", "/orders/1/2"]
)
def test_what_is_not_there(live: Live, path: str) -> None:
    answer = live.public.get(path)
    problem(answer, 404, answer.json()["code"])


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/orders"), ("POST", "/orders/1"), ("DELETE", "/trades")]
)
def test_methods_that_are_not_there(someone: Trader, method: str, path: str) -> None:
    answer = someone.http.request(method, path)
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


def test_the_order_rate(live: Live) -> None:
    trader = live.sign_in("trader03@demo.exchange", "demo-pass")
    answer = trader.place("BUY", "1", "100")
    assert answer.status_code == 201
    assert answer.headers["ratelimit-policy"] == '"orders";q=10;w=1'
    assert answer.headers["ratelimit"].startswith('"orders";r=9;t=')
    for number in range(50):  # on a slow machine the bucket may fill in between
        orders = [LIMIT | {"client_order_id": f"{number}-{part}", "price": "100"} for part in range(10)]
        answer = trader.http.post("/orders/batch", json={"orders": orders})
        if answer.status_code != 200:
            break
    problem(answer, 429, "rate_limited")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["ratelimit-policy"] == '"orders";q=10;w=1'
    problem(trader.http.post("/orders/batch", json={"orders": [LIMIT] * 11}), 429, "batch_above_rate")
    assert trader.http.delete("/orders").status_code == 200
