"""A market outside, as Binance shows itself: a combined stream and a ticker, on free ports of this machine.

It plays frames that Binance once sent, and misbehaves on demand: drops connections, turns them away, is
silent, says anything at all.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Request, Response, Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

RECORDED = Path(__file__).parent / "data" / "binance_ws_excerpt.txt.gz"
UNKNOWN = json.dumps({"code": -1121, "msg": "Invalid symbol."}).encode()


def frames() -> list[str]:
    """The recorded ones, as they were sent."""
    lines = gzip.decompress(RECORDED.read_bytes()).decode().splitlines()
    return [line.partition(": ")[2] for line in lines]


def trades(symbol: str) -> list[str]:
    """The recorded prices of `symbol`, in order."""
    found = (json.loads(frame) for frame in frames())
    return [frame["data"]["p"] for frame in found if frame["stream"] == f"{symbol.lower()}@aggTrade"]


def trade(symbol: str, price: Any) -> str:
    data = {
        "e": "aggTrade",
        "E": 1,
        "s": symbol,
        "a": 1,
        "p": price,
        "q": "1.0",
        "T": 1,
        "m": True,
        "M": True,
    }
    return json.dumps({"stream": f"{symbol.lower()}@aggTrade", "data": data})


def best(symbol: str) -> str:
    data = {"u": 1, "s": symbol, "b": "1.0", "B": "1.0", "a": "2.0", "A": "1.0"}
    return json.dumps({"stream": f"{symbol.lower()}@bookTicker", "data": data})


class Outside:
    _server: Server
    _http: ThreadingHTTPServer

    def __init__(self) -> None:
        self.ticker: dict[str, Any] = {}  # what the ticker answers, by symbol
        self.answer: tuple[int, bytes] | None = None  # what it answers instead
        self.asked: list[list[str]] = []
        self.paths: list[str] = []  # of the connections to the stream
        self.refuses = False  # connections to the stream
        self._open: set[ServerConnection] = set()
        self._loop = asyncio.new_event_loop()
        self._playing: asyncio.Task[None] | None = None

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def connections(self) -> int:
        return len(self._open)

    def say(self, *messages: str | bytes) -> None:
        """To all who are connected."""

        async def send() -> None:
            for message in messages:
                broadcast(self._open, message)

        self._do(send())

    def play(self, frames: Iterable[str], pause: float = 0.02) -> None:
        """Again and again, until `silence`."""

        async def start() -> None:
            self._playing = asyncio.create_task(self._play(list(frames), pause))

        self.silence()
        self._do(start())

    def silence(self) -> None:
        async def stop() -> None:
            if self._playing is not None:
                self._playing.cancel()

        self._do(stop())

    def drop(self) -> None:
        """End all connections, as a broken network does."""

        async def abort() -> None:
            for connection in list(self._open):
                connection.transport.abort()

        self._do(abort())

    async def _play(self, frames: list[str], pause: float) -> None:
        for frame in cycle(frames):
            broadcast(self._open, frame)
            await asyncio.sleep(pause)

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve(self) -> Server:
        return await serve(self._accepted, "127.0.0.1", 0, process_request=self._admit)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if self.refuses:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "not now\n")
        return None

    async def _accepted(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.append(connection.request.path)
        self._open.add(connection)
        try:
            async for _ in connection:
                pass
        except ConnectionClosed:
            return
        finally:
            self._open.discard(connection)


def _ticker(outside: Outside) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (names,) = parse_qs(urlsplit(self.path).query)["symbols"]
            symbols = json.loads(names)
            outside.asked.append(symbols)
            status, body = outside.answer or self._prices(symbols)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _prices(self, symbols: list[str]) -> tuple[int, bytes]:
            if not set(symbols) <= outside.ticker.keys():
                return HTTPStatus.BAD_REQUEST, UNKNOWN
            rows = [{"symbol": symbol, "price": outside.ticker[symbol]} for symbol in symbols]
            return HTTPStatus.OK, json.dumps(rows).encode()

        def log_message(self, *arguments: Any) -> None:
            """Not to the tests' output."""

    return Handler


@contextmanager
def open_outside() -> Iterator[Outside]:
    outside = Outside()
    with ThreadingHTTPServer(("127.0.0.1", 0), _ticker(outside)) as outside._http:
        threads = [
            threading.Thread(target=outside._loop.run_forever, name="outside stream"),
            threading.Thread(target=outside._http.serve_forever, name="outside ticker"),
        ]
        for thread in threads:
            thread.start()
        try:
            outside._server = outside._do(outside._serve())
            yield outside
            outside.silence()
            outside._server.close()
            outside._do(outside._server.wait_closed())
        finally:
            outside._http.shutdown()
            outside._loop.call_soon_threadsafe(outside._loop.stop)
            for thread in threads:
                thread.join()
            outside._loop.close()
