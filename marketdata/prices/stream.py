"""Binance's combined stream: `aggTrade` of each symbol is its price, `bookTicker` a sign of life.

A quiet symbol is no dead stream. The price of a symbol is vouched for by any proper frame of the connection
that it came through, whatever symbol the frame is about: frames come in order, so nothing can have been
missed in between. It is no longer vouched for when the connection ends (trades may be missed until the next
one), or while a jump of the symbol waits to be believed. Pings and pongs vouch for nothing: a server can
answer them and have no news. A connection that brings no proper frame for SILENCE seconds is given up.

What is not a proper frame is counted and left out: no JSON, a stream that was not asked for, a wrong type, a price
that is none (`quotes.parse`) or that jumps (`quotes.Gate`). Binance ends each connection after 24 hours, and
allows 1,024 streams on one: 512 symbols.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from decimal import Decimal

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from exchange.base.times import now_text
from marketdata.models.prices import Source
from marketdata.prices.choice import NEVER
from marketdata.prices.quotes import Gate, Quote, parse
from marketdata.prices.source_health import Link

SILENCE = 15.0  # seconds
STEADY = 10.0  # seconds of life after which the next try comes soon
OPENING = 5.0
LARGEST_FRAME = 64 * 1024  # bytes

OnQuote = Callable[[Source, str, Quote, float], None]


class _Data(msgspec.Struct):
    """`s` names the symbol in both; only an aggTrade has a price."""

    s: str
    p: str | None = None


class _Frame(msgspec.Struct):
    stream: str
    data: _Data


_decode = msgspec.json.Decoder(_Frame).decode


class Stream:
    """Hands on prices by the outside market's symbols."""

    def __init__(self, url: str, on_quote: OnQuote, jump: Decimal, silence: float = SILENCE) -> None:
        self._url, self._on_quote, self._jump, self._silence = url.rstrip("/"), on_quote, jump, silence
        self._gates: dict[str, Gate] = {}
        self._link = Link(Source.BINANCE_WS)
        self.current: set[str] = set()  # symbols whose price the open connection vouches for
        self.alive_at = NEVER  # when the last proper frame came

    async def run(self, symbols: Collection[str]) -> None:
        """Until cancelled."""
        while symbols:
            opened = time.monotonic()
            try:
                await self._listen(symbols)
            except (OSError, WebSocketException) as error:
                self._link.down(str(error) or "silent")
            finally:
                self.current.clear()
            if self.alive_at - opened > STEADY:
                self._link.steady()
            await asyncio.sleep(self._link.wait())

    async def _listen(self, symbols: Collection[str]) -> None:
        """Raises when the connection is lost or silent."""
        wanted = {
            f"{symbol.lower()}@{kind}": symbol for symbol in symbols for kind in ("aggTrade", "bookTicker")
        }
        url = f"{self._url}/stream?streams={'/'.join(wanted)}"
        async with connect(
            url, open_timeout=OPENING, close_timeout=1.0, ping_interval=SILENCE, max_size=LARGEST_FRAME
        ) as socket:
            started = time.monotonic()
            while True:
                last = max(started, self.alive_at)
                async with asyncio.timeout(last + self._silence - time.monotonic()):
                    text = await socket.recv()
                self._take(text, wanted)

    def _take(self, text: str | bytes, wanted: dict[str, str]) -> None:
        try:
            frame = _decode(text)
            symbol = wanted[frame.stream]
            if frame.data.s != symbol:
                raise ValueError(f"{frame.data.s!r} in {frame.stream}")
            price = parse(frame.data.p or "") if frame.stream.endswith("@aggTrade") else None
        except (msgspec.MsgspecError, RecursionError, KeyError, ValueError) as error:
            self._link.reject(error)
            return
        now = time.monotonic()
        if price is not None and not self._passes(symbol, price, now):
            self._link.reject(f"{symbol} jumps to {price}")
            self.current.discard(symbol)
            return
        self.alive_at = now
        self._link.up()
        if price is not None:
            self.current.add(symbol)
            self._on_quote(Source.BINANCE_WS, symbol, Quote(price, now_text()), now)

    def _passes(self, symbol: str, price: str, now: float) -> bool:
        return self._gates.setdefault(symbol, Gate(self._jump)).passes(Decimal(price), now)
