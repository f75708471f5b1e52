"""The example client in docs, run as it is."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from exchange.embedded.stack import PROJECT
from tests.functional.live import Live, Trader

CLIENT = PROJECT / "docs" / "feed_client.py"
PATIENCE = 30.0  # seconds


class Follower:
    """What a running client says, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[dict[str, Any]] = []
        self._more = threading.Condition()
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._more:
                self.lines.append(json.loads(line))
                self._more.notify_all()

    def expect(self, bid: str | None, ask: str | None) -> None:
        with self._more:
            wanted = lambda: self.lines and (self.lines[-1]["bid"], self.lines[-1]["ask"]) == (bid, ask)  # noqa: E731
            assert self._more.wait_for(wanted, PATIENCE), self.lines[-5:]


@contextmanager
def following(live: Live) -> Iterator[Follower]:
    url = f"ws://127.0.0.1:{live.stack.env['EXCHANGE_WS_PORT']}/stream"
    process = subprocess.Popen(
        [sys.executable, str(CLIENT), url, "BTC/USDT"], stdout=subprocess.PIPE, text=True
    )
    try:
        yield Follower(process)
    finally:
        process.kill()
        process.wait()


def test_it_follows_the_book_through_a_restart_of_the_stream(live: Live, alice: Trader, bob: Trader) -> None:
    with following(live) as follower:
        alice.sell("1", "50010")
        alice.buy("1", "49990")
        follower.expect("49990.00", "50010.00")
        bob.buy("1", "50010")
        follower.expect("49990.00", None)
        live.stack.kill("stream")
        alice.sell("0.5", "50020")
        follower.expect("49990.00", "50020.00")


@pytest.fixture
def client() -> ModuleType:
    spec = importlib.util.spec_from_file_location("feed_client", CLIENT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def message(client: ModuleType) -> Callable[..., dict[str, Any]]:
    def make(kind: str, sequence: int, bids: list[list[str]], checksum: int) -> dict[str, Any]:
        data = {"bids": bids, "asks": [], "checksum": checksum}
        return {"type": kind, "epoch": "a", "sequence": sequence, "data": data}

    return make


def test_a_gap_and_a_wrong_checksum_are_seen(client: ModuleType, message: Callable[..., Any]) -> None:
    book = client.Book()
    one, two = client.crc32(b"10:1||"), client.crc32(b"11:2|10:1||")
    book.take(message("SNAPSHOT", 1, [["10", "1"]], one))
    with pytest.raises(client.OutOfStep):
        book.take(message("ORDERBOOK_UPDATE", 3, [["11", "2"]], two))
    book.take(message("ORDERBOOK_UPDATE", 2, [["11", "2"]], two))
    assert book.best == ("11", None)
    with pytest.raises(client.OutOfStep):
        book.take(message("ORDERBOOK_UPDATE", 3, [["12", "2"]], two))
