"""The feed: a thousand WebSocket clients on ten markets while orders trade there at a bounded rate.

Each client is on the order book and the trades of one market, so an order reaches a hundred of them. Latency
is from a message's timestamp (its commit) to its arrival at the client, on the clock of this one machine.
"""

from __future__ import annotations

import http.client
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import IO, Any

import msgspec

from exchange.bench import feed_clients, usage
from exchange.bench.driver import drive
from exchange.bench.feed_book import DEPTH
from exchange.bench.orders import API
from exchange.bench.result import Result, at_least, below, nothing
from exchange.bench.scenarios import Bench, Watch
from exchange.embedded.home import SetupError
from exchange.embedded.stack import PROJECT
from exchange.embedded.supervisor import launched

NAME = "feeds"
SYMBOLS = [f"B{number:02d}/USDT" for number in range(1, 11)]
SAMPLED = 2 * len(SYMBOLS)
LANES = 4 * len(SYMBOLS)
ORDERS_PER_SECOND = 120.0
MESSAGES_PER_SECOND = 15_000
P99_MS = 100.0
OTHER_FILES = 500  # that a process has open beside its connections
SETTLING_SECONDS = 10.0  # for REST to show the last book


def settings(connections: int) -> dict[str, str]:
    """Settings of an installation that takes so many from one address. Lets this process, and the stream process
    after it, open as many files. Raises SetupError."""
    wanted = connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SetupError(f"{wanted} open files are needed, {hard} allowed: see ulimit -Hn")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return {"EXCHANGE_WS_PER_ADDRESS": str(connections)}


def run(bench: Bench, connections: int) -> Result:
    """On an installation of our own with the markets of `bench`. Raises SetupError."""
    stack = bench.place.stack
    assert stack is not None, "only on an installation of our own"
    before = usage.memory({"stream": stack.pids("stream")})["stream"].resident
    with _clients(bench, connections) as clients:
        watch = Watch(bench.place, {"clients": [clients.pid]})

        def on_event(name: str) -> None:
            clients.send("begin" if name == "measuring" else "end")
            watch.event(name)

        load = drive(bench.plan(bench.requests.trading(NAME, LANES, 0), rate=ORDERS_PER_SECOND), on_event)
        after = usage.memory({"stream": stack.pids("stream")})["stream"]
        seen = clients.finish()
    cpu = watch.cpu(load.cpu_seconds, load.requests / 1000)
    assert cpu is not None, "the place is ours"
    speed = seen.delivered / seen.seconds if seen.seconds else 0.0
    result = Result(
        name=NAME,
        what=f"{connections:,} clients on the book and the trades of one of {len(SYMBOLS)} markets each, "
        f"{ORDERS_PER_SECOND:g} orders a second",
        seconds=seen.seconds,
        connections=connections,
        orders_per_second=load.requests_per_second,
        latency_ms=seen.latency_ms,
        errors={**load.errors, **seen.errors},
        samples=load.samples,
        figures={
            "messages delivered a second": speed,
            "stream, share of a core": cpu.seconds["stream"] / load.seconds,
            "stream, microseconds a message": 1e6 * cpu.seconds["stream"] / max(1, seen.delivered),
            "stream resident MB without clients": before,
            "stream resident MB with them": after.resident,
            "stream peak resident MB": after.peak,
            "stream kB a connection": 1000 * (after.resident - before) / connections,
            "books proved by their checksum": float(seen.checksums),
        },
        cpu=cpu,
    )
    unlike = sum(1 for counts in seen.ends.values() if len(counts) != 1)
    result.targets = [
        at_least("messages/s", MESSAGES_PER_SECOND, speed),
        below("p99 ms", P99_MS, result.latency("p99")),
        nothing("gaps in a sequence", seen.gaps),
        nothing("snapshots in place of messages", seen.snapshots),
        nothing("channels on which clients ended at different messages", unlike),
        nothing("wrong checksums", seen.wrong_checksums),
        nothing("clients' books unlike REST's", _unlike_rest(bench, seen)),
        nothing("connections lost", seen.lost),
        nothing("errors", sum(result.errors.values())),
    ]
    return result


class Clients:
    """The process that has the connections."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout
        self._input: IO[bytes] = process.stdin
        self._output: IO[bytes] = process.stdout
        self.pid = process.pid

    def send(self, line: str | bytes) -> None:
        self._input.write((line if isinstance(line, bytes) else line.encode()) + b"\n")
        self._input.flush()

    def receive(self) -> bytes:
        """Its next line. Raises SetupError if it has ended."""
        line = self._output.readline()
        if not line:
            raise SetupError("the clients of the feed ended early")
        return line

    def finish(self) -> feed_clients.Outcome:
        self.send("finish")
        return msgspec.json.decode(self.receive(), type=feed_clients.Outcome)


@contextmanager
def _clients(bench: Bench, connections: int) -> Iterator[Clients]:
    """Subscribed, each with its first snapshots. What goes wrong they say on our stderr."""
    stack, symbols = bench.place.stack, bench.symbols
    assert stack is not None
    channels = [
        [f"orderbook.{symbol}", f"trades.{symbol}"]
        for symbol in (symbols[number % len(symbols)] for number in range(connections))
    ]
    plan = feed_clients.Plan(bench.place.host, int(stack.env["EXCHANGE_WS_PORT"]), channels, SAMPLED)
    with subprocess.Popen(
        launched([sys.executable, "-m", feed_clients.__name__]),
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            clients = Clients(process)
            clients.send(msgspec.json.encode(plan))
            clients.receive()
            yield clients
        except BaseException:
            process.kill()
            raise


def _unlike_rest(bench: Bench, seen: feed_clients.Outcome) -> int:
    """How many of the sampled books are not REST's, which may be a moment behind."""
    deadline, pause = time.monotonic() + SETTLING_SECONDS, threading.Event()
    while True:
        shown = {symbol: _rest_book(bench, symbol) for symbol in bench.symbols}
        unlike = sum((_numbers(bids), _numbers(asks)) != shown[symbol] for symbol, bids, asks in seen.books)
        if not unlike or time.monotonic() > deadline:
            return unlike
        pause.wait(0.5)


def _rest_book(bench: Bench, symbol: str) -> tuple[list[Any], list[Any]]:
    connection = http.client.HTTPConnection(bench.place.host, bench.place.port, timeout=10)
    try:
        connection.request("GET", f"{API}/orderbook/{symbol.replace('/', '-')}")
        book = json.load(connection.getresponse())
    finally:
        connection.close()
    return _numbers(book["bids"]), _numbers(book["asks"])


def _numbers(side: list[list[str]]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(quantity)) for price, quantity in side[:DEPTH]]
