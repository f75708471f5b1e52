"""A program with an API key: the client in docs against a whole exchange, over real HTTP and WebSocket."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from websockets.sync.client import ClientConnection, connect

from exchange.embedded.stack import PROJECT, free_ports
from tests.functional.live import Live, Trader, problem
from tests.keys import CLIENT, load_client

PATIENCE = 60.0  # seconds; a web process may take long to start on a busy machine
BALANCES = "/api/v1/balances"
ORDERS = "/api/v1/orders"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def client() -> ModuleType:
    return load_client()


@pytest.fixture
def robot(live: Live, alice: Trader, client: ModuleType) -> Any:
    """A program of alice's that trades."""
    answer = make(alice, addresses=["127.0.0.1"])
    return client.Client(live.host, answer["key"]["key_id"], client.hmac_sha256(answer["secret"]))


def make(trader: Trader, **other: Any) -> Any:
    answer = trader.http.post("/keys", json={"name": "robot", "scopes": ["TRADE"], **other})
    assert answer.status_code == 201, answer.text
    return answer.json()


def order(**other: Any) -> dict[str, Any]:
    return {
        "symbol": "BTC/USDT",
        "side": "BUY",
        "order_type": "LIMIT",
        "quantity": "0.1",
        "price": "40000",
        "client_order_id": f"by-key-{next(_numbers)}",
        **other,
    }


def until(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return found


def test_a_program_trades_with_a_key(robot: Any, alice: Trader, client: ModuleType) -> None:
    placed = robot.request("POST", ORDERS, order())
    assert placed["status"] == "OPEN"
    (found,) = robot.request("GET", f"{ORDERS}?symbol=BTC%2FUSDT&status=OPEN")["items"]
    assert found["order_id"] == placed["order_id"]
    assert robot.request("DELETE", f"{ORDERS}/{placed['order_id']}")["status"] == "CANCELLED"
    with pytest.raises(client.Refused) as refused:
        robot.request("GET", "/api/v1/keys")
    assert refused.value.code == "sign_in_required"

    def used() -> Any:
        return alice.get("/keys")["items"][0]["last_used_address"]

    assert until(used) == "127.0.0.1"


def test_a_clock_that_is_off_is_set_by_the_exchanges(robot: Any) -> None:
    robot.clock.ahead = -3_600_000
    assert robot.request("GET", BALANCES)["items"]
    assert abs(robot.clock.ahead) < 5000


@pytest.fixture
def other_web(live: Live) -> Iterator[str]:
    """The address of one more web process of the same exchange."""
    settings = {**os.environ, **live.stack.env, **free_ports()}
    with live.stack.home.log("other-web").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "web"],
            cwd=PROJECT,
            env=settings,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{settings['EXCHANGE_HTTP_PORT']}"

    def answers() -> bool:
        assert process.poll() is None, live.stack.home.log("other-web").read_text()
        try:
            return httpx.get(f"{address}/api/v1/health/live").is_success
        except httpx.TransportError:
            return False

    try:
        until(answers)
        yield address
    finally:
        process.terminate()
        process.wait()


def test_a_request_is_taken_once_by_all_processes_together(
    robot: Any, live: Live, other_web: str, alice: Trader
) -> None:
    body = json.dumps(order()).encode()
    headers = {**robot.headers("POST", ORDERS, body), "Content-Type": "application/json"}

    def send(host: str) -> httpx.Response:
        return httpx.post(host + ORDERS, content=body, headers=headers, timeout=30)

    assert send(other_web).status_code == 201
    problem(send(live.host), 401, "replayed")
    problem(send(other_web), 401, "replayed")
    assert len(alice.get("/orders", status="OPEN")["items"]) == 1
    # And a key that is revoked in one process is so in the other.
    assert alice.http.delete(f"/keys/{robot.key_id}").json()["status"] == "REVOKED"

    def revoked() -> bool:
        answer = httpx.get(other_web + BALANCES, headers=robot.headers("GET", BALANCES))
        return answer.status_code == 401 and answer.json()["code"] == "key_revoked"

    until(revoked)


def test_the_client_is_a_program(live: Live, alice: Trader, tmp_path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    file = tmp_path / "private.pem"
    file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    key = make(alice, kind="ED25519", public_key=public, scopes=["READ"])["key"]["key_id"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        settings = {"PATH": os.environ["PATH"], "API_KEY": key, "API_PRIVATE_KEY": str(file)}
        command = [sys.executable, str(CLIENT), live.host, *arguments]
        return subprocess.run(command, env=settings, capture_output=True, text=True, check=False)

    shown = run("GET", BALANCES)
    assert shown.returncode == 0, shown.stderr
    assert {each["asset"] for each in json.loads(shown.stdout)["items"]} >= {"BTC", "USDT"}
    refused = run("POST", ORDERS, json.dumps(order()))
    assert refused.returncode == 1
    assert "scope_missing" in refused.stderr
    assert run("GET").returncode == 2


# WebSocket


@pytest.fixture
def stream(live: Live) -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{live.stack.env['EXCHANGE_WS_PORT']}/stream") as connection:
        yield connection


def hear(stream: ClientConnection, kind: str) -> Any:
    """The next message of this type."""
    deadline = time.monotonic() + PATIENCE
    while True:
        message = json.loads(stream.recv(timeout=max(0.0, deadline - time.monotonic())))
        if message["type"] == kind:
            return message
        assert message["type"] == "HEARTBEAT", message


def test_a_key_signs_a_connection_in_until_it_is_revoked(
    robot: Any, alice: Trader, stream: ClientConnection
) -> None:
    auth = robot.stream_auth()
    stream.send(json.dumps(auth))
    assert "expires_at" not in hear(stream, "ACK")
    stream.send(json.dumps(auth))
    assert hear(stream, "ERROR")["code"] == "replayed"
    stream.send(json.dumps(robot.stream_auth() | {"signature": "0" * 64}))
    assert hear(stream, "ERROR")["code"] == "invalid_signature"
    stream.send(json.dumps({"type": "SUBSCRIBE", "channels": ["user.orders"]}))
    hear(stream, "ACK")
    hear(stream, "SNAPSHOT")
    placed = robot.request("POST", ORDERS, order())
    assert hear(stream, "ORDER_UPDATE")["data"]["order_id"] == placed["order_id"]
    alice.http.delete(f"/keys/{robot.key_id}").raise_for_status()
    assert hear(stream, "ERROR")["code"] == "key_revoked"
    stream.send(json.dumps({"type": "SUBSCRIBE", "channels": ["user.orders"]}))
    assert hear(stream, "ERROR")["code"] == "not_authenticated"
