"""The load generator against a small HTTP server of our own: what it sends, counts and takes for right."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from exchange.bench.driver import drive
from exchange.bench.load import NUMBER, Plan
from exchange.embedded.home import SetupError

Answer = tuple[int, bytes]
PLACED = json.dumps({"order_id": "x", "status": "OPEN"}).encode()


class Server(ThreadingHTTPServer):
    """Answers each POST with what `answer` says of its body; keeps the bodies."""

    daemon_threads = True

    def __init__(self, answer: Callable[[bytes], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.bodies: list[bytes] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(body)
        status, answer = self.server.answer(body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Not on stderr."""


@contextmanager
def server(answer: Callable[[bytes], Answer]) -> Iterator[Server]:
    with Server(answer) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


def plan(port: int, **changes: Any) -> Plan:
    body = f'{{"id":"a-{NUMBER}"}}'
    shot = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body) + 5}\r\n\r\n{body}"
    usual = {
        "host": "127.0.0.1",
        "port": port,
        "lanes": [[shot], [shot.replace("a-", "b-")]],
        "status": 201,
        "mark": "",
        "marks": 0,
        "fields": ["order_id", "status"],
        "warm_up": 0.0,
        "seconds": 0.0,
        "requests": 20,
    }
    return Plan(**{**usual, **changes})


def test_it_sends_so_many_requests_each_with_an_id_of_its_own() -> None:
    with server(lambda body: (201, PLACED)) as running:
        events: list[str] = []
        outcome = drive(plan(running.server_port), events.append)
    assert events == ["measuring", "measured"]
    assert (outcome.requests, outcome.right, outcome.errors) == (20, 20, {})
    ids = [json.loads(body)["id"] for body in running.bodies]
    assert len(set(ids)) == 20
    for lane in "ab":
        own = [name for name in ids if name.startswith(lane)]
        assert own == [f"{lane}-{number:010d}" for number in range(len(own))]
    latency = outcome.latency_ms
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    assert outcome.seconds > 0
    assert outcome.cpu_seconds > 0


def test_time_ends_it_too_and_the_warm_up_is_not_counted() -> None:
    with server(lambda body: (201, PLACED)) as running:
        outcome = drive(plan(running.server_port, warm_up=0.2, seconds=0.3, requests=0))
    assert 0.25 < outcome.seconds < 1.0
    assert 0 < outcome.requests < outcome.right == len(running.bodies)


def test_a_bounded_rate_is_kept_to() -> None:
    with server(lambda body: (201, PLACED)) as running:
        outcome = drive(plan(running.server_port, requests=21, rate=100.0))
    assert (outcome.right, outcome.errors) == (21, {})
    assert outcome.seconds >= 0.2 - 0.1  # what it may have made up for after a delay


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((202, PLACED), "status 202"),
        ((500, b"{}"), "status 500"),
        ((201, b"{}"), "not an object with order_id, status"),
        ((201, b"[]"), "not an object with order_id, status"),
        ((201, b"<p>"), "not an object with order_id, status"),
    ],
)
def test_another_answer_is_an_error(answer: Answer, error: str) -> None:
    with server(lambda body: answer) as running:
        outcome = drive(plan(running.server_port, requests=2))
    assert outcome.errors == {error: 2}
    assert outcome.requests == outcome.right == 0
    assert outcome.samples == [answer[1].decode()] * 2


def test_every_item_of_a_batch_must_be_right() -> None:
    items = b'{"items":[{"status":201},{"status":422}]}'
    with server(lambda body: (200, items)) as running:
        checked = {"status": 200, "mark": '"status":201', "fields": ["items"], "requests": 2}
        assert drive(plan(running.server_port, marks=1, **checked)).errors == {}
        assert drive(plan(running.server_port, marks=2, **checked)).errors == {'not 2 times "status":201': 2}


def test_a_long_answer_in_pieces_and_a_long_request() -> None:
    long = json.dumps({"order_id": "x" * 2_000_000, "status": "OPEN"}).encode()
    body = json.dumps({"id": NUMBER, "text": "y" * 900_000})
    shot = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body) + 5}\r\n\r\n{body}"
    with server(lambda body: (201, long)) as running:
        outcome = drive(plan(running.server_port, lanes=[[shot]], requests=3))
    assert (outcome.right, outcome.errors) == (3, {})
    assert [len(sent) for sent in running.bodies] == [len(body) + 5] * 3


def test_a_closed_connection_is_an_error_and_opened_again() -> None:
    def answer(body: bytes) -> Answer:
        if b"0000000001" in body:
            raise ConnectionAbortedError
        return 201, PLACED

    with server(answer) as running:
        running.handle_error = lambda request, address: None  # type: ignore[method-assign, assignment]
        outcome = drive(plan(running.server_port, requests=10))
    assert sum(outcome.errors.values()) == 2
    assert outcome.right == 8


def test_nobody_listening_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with pytest.raises(SetupError, match="the load ended early: ConnectionRefusedError"):
        drive(plan(port))
