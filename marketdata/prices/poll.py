"""Binance's REST ticker, asked each second for the symbols whose stream can't be relied on, and only then.

A symbol that Binance does not know makes it refuse all that are asked with it: each is then asked alone, and
those that are refused again are left out for ten minutes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from decimal import Decimal
from http import HTTPStatus

import httpx
import msgspec
import structlog

from exchange.base.times import now_text
from marketdata.models.prices import Source
from marketdata.prices.quotes import Gate, Quote, parse
from marketdata.prices.source_health import Link
from marketdata.prices.stream import OnQuote

EVERY = 1.0  # seconds
TIMEOUT = 3.0
AT_ONCE = 100  # symbols in a request
LARGEST_ANSWER = 1_000_000  # bytes
UNKNOWN = -1121  # Binance's code for a symbol that it does not have
AGAIN = 600.0  # seconds until such a symbol is asked again: it may be listed meanwhile
LONGEST_BAN = 3600.0  # seconds; what a 429 or 418 asks for beyond it is tried earlier

log = structlog.get_logger(__name__)


class _Ticker(msgspec.Struct):
    symbol: str
    price: str


class _Refusal(msgspec.Struct):
    code: int


class _Refused(Exception):
    """Binance does not know one of the symbols."""


class _Unusable(Exception):
    """No answer to use; wait at least `seconds`."""

    def __init__(self, why: str, seconds: float = 0.0) -> None:
        super().__init__(why)
        self.seconds = seconds


_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode
_ticker = msgspec.json.Decoder(_Ticker).decode
_refusal = msgspec.json.Decoder(_Refusal).decode
_NOT_AS_AGREED = (msgspec.MsgspecError, RecursionError, ValueError)


class Poll:
    def __init__(
        self, url: str, wanted: Callable[[], Collection[str]], on_quote: OnQuote, jump: Decimal
    ) -> None:
        self._url = url.rstrip("/") + "/api/v3/ticker/price"
        self._wanted, self._on_quote, self._jump = wanted, on_quote, jump
        self._gates: dict[str, Gate] = {}
        self._unknown: dict[str, float] = {}  # until when
        self._link = Link(Source.BINANCE_REST)

    async def run(self) -> None:
        """Until cancelled."""
        async with httpx.AsyncClient(timeout=TIMEOUT) as client:
            while True:
                now = time.monotonic()
                due = now + EVERY
                symbols = [symbol for symbol in self._wanted() if self._unknown.get(symbol, now) <= now]
                if symbols:
                    try:
                        await self._ask_all(client, symbols)
                        self._link.up()
                        self._link.steady()
                    except (_Unusable, httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
                        self._link.down(error)
                        due += self._link.wait() + (error.seconds if isinstance(error, _Unusable) else 0)
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _ask_all(self, client: httpx.AsyncClient, symbols: list[str]) -> None:
        for first in range(0, len(symbols), AT_ONCE):
            some = symbols[first : first + AT_ONCE]
            try:
                await self._ask(client, some)
            except _Refused:
                for symbol in some:
                    await self._ask_alone(client, symbol)

    async def _ask_alone(self, client: httpx.AsyncClient, symbol: str) -> None:
        try:
            await self._ask(client, [symbol])
        except _Refused:
            self._unknown[symbol] = time.monotonic() + AGAIN
            log.warning("the outside market does not know a symbol", market_symbol=symbol)

    async def _ask(self, client: httpx.AsyncClient, symbols: list[str]) -> None:
        """Hand on their prices. Raises if there is not a single valid one."""
        names = msgspec.json.encode(symbols).decode()
        async with (
            asyncio.timeout(TIMEOUT),
            client.stream("GET", self._url, params={"symbols": names}) as answer,
        ):
            body = b""
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > LARGEST_ANSWER:
                    raise _Unusable("the answer does not end")
        if answer.status_code == HTTPStatus.BAD_REQUEST and _is_unknown(body):
            raise _Refused
        if answer.status_code != HTTPStatus.OK:
            raise _Unusable(f"HTTP {answer.status_code}", _ban(answer.headers.get("Retry-After", "")))
        if not self._take(body, frozenset(symbols)):
            raise _Unusable("rubbish")

    def _take(self, body: bytes, asked: frozenset[str]) -> int:
        """How many prices there were to believe."""
        try:
            rows = _rows(body)
        except _NOT_AS_AGREED as error:
            self._link.reject(error)
            return 0
        believed = 0
        now, timestamp = time.monotonic(), now_text()
        for row in rows:
            try:
                ticker = _ticker(row)
                price = parse(ticker.price)
                if ticker.symbol not in asked:
                    raise ValueError(f"{ticker.symbol!r} was not asked for")
                gate = self._gates.setdefault(ticker.symbol, Gate(self._jump))
                if not gate.passes(Decimal(price), now):
                    raise ValueError(f"{ticker.symbol} jumps to {price}")
            except _NOT_AS_AGREED as error:
                self._link.reject(error)
                continue
            self._on_quote(Source.BINANCE_REST, ticker.symbol, Quote(price, timestamp), now)
            believed += 1
        return believed


def _is_unknown(body: bytes) -> bool:
    try:
        return _refusal(body).code == UNKNOWN
    except _NOT_AS_AGREED:
        return False


def _ban(retry_after: str) -> float:
    """The seconds of a Retry-After header, as far as they make sense."""
    return min(float(retry_after), LONGEST_BAN) if retry_after.isascii() and retry_after.isdigit() else 0.0
