"""The markets there are, read from trading's views, and the names of channels about them.

A name that is not known lets the markets be read again, at most once a second, so that a new one is found
without a restart.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import structlog
from channels.db import database_sync_to_async
from django.db import connection

from matching.core.scale import InstrumentScale

AGAIN_SECONDS = 1.0
INTERVALS = ("1m", "5m", "15m", "1h", "4h", "1d")
USER_CHANNELS = ("user.orders", "user.trades", "user.balances", "user.notifications")

log = structlog.get_logger(__name__)

_MARKETS = """
    SELECT id, symbol, tick_size, lot_size, group_id, base, base_scale, quote, quote_scale FROM read_market"""
_NAME = re.compile(r"(orderbook|trades|ticker|candles)\.([^\s./@-]+[-/][^\s./@-]+)(?:@(100ms)|\.(\w+))?")


@dataclass(frozen=True, slots=True)
class Market:
    id: int
    symbol: str
    group: str
    base: str
    quote: str
    scale: InstrumentScale

    def price(self, value: Decimal) -> str:
        """With all digits of the tick."""
        return self.scale.price_text(self.scale.to_ticks(value) or 0)

    def quantity(self, value: Decimal) -> str:
        """With all digits of the lot."""
        return self.scale.quantity_text(self.scale.to_lots(value) or 0)


class Name(NamedTuple):
    """A channel's name, taken apart. `symbol` is empty for a user's channels, `option` is 100ms or an interval."""

    kind: str
    symbol: str = ""
    option: str = ""

    def __str__(self) -> str:
        if not self.symbol:
            return self.kind
        mark = "@" if self.kind == "orderbook" else "."
        return f"{self.kind}.{self.symbol}" + (f"{mark}{self.option}" if self.option else "")


def parse(text: str) -> Name | None:
    """The name in its one form (BTC/USDT, also where BTC-USDT was written); None if there is no such kind."""
    if text in USER_CHANNELS:
        return Name(text)
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    kind, symbol, pace, interval = match.groups(default="")
    fits = interval in INTERVALS if kind == "candles" else not interval
    if not fits or (pace and kind != "orderbook"):
        return None
    return Name(kind, symbol.replace("-", "/"), pace or interval)


class Markets:
    def __init__(self) -> None:
        self._by_symbol: dict[str, Market] = {}
        self._by_id: dict[int, Market] = {}
        self._moved: set[str] = set()
        self._read_at = float("-inf")

    async def find(self, symbol: str) -> Market | None:
        """Raises database errors."""
        if symbol not in self._by_symbol:
            await self.refresh()
        return self._by_symbol.get(symbol)

    def get(self, symbol: str) -> Market | None:
        """As last read."""
        return self._by_symbol.get(symbol)

    def by_id(self, instrument: int) -> Market | None:
        """As last read."""
        return self._by_id.get(instrument)

    def all(self) -> list[Market]:
        return list(self._by_id.values())

    def take_moved(self) -> set[str]:
        """The symbols of those that were found in another group than before, since the last call."""
        moved, self._moved = self._moved, set()
        return moved

    async def refresh(self, *, at_once: bool = False) -> None:
        """Raises database errors."""
        now = time.monotonic()
        if now - self._read_at < AGAIN_SECONDS and not at_once:
            return
        markets = await database_sync_to_async(_read)()
        before, self._by_symbol = self._by_symbol, {market.symbol: market for market in markets}
        self._by_id = {market.id: market for market in markets}
        self._read_at = now
        self._moved |= {each.symbol for each in markets if each.group != before.get(each.symbol, each).group}


def _read() -> list[Market]:
    with connection.cursor() as cursor:
        cursor.execute(_MARKETS)
        rows = cursor.fetchall()
    markets = []
    for number, symbol, tick, lot, group, base, base_scale, quote, quote_scale in rows:
        try:
            scale = InstrumentScale(tick.normalize(), lot.normalize(), base_scale, quote_scale)
        except ValueError as error:  # the admin refuses such a one, plain SQL does not
            log.error("instrument is left out", symbol=symbol, error=str(error))
        else:
            markets.append(Market(number, symbol, group or "", base, quote, scale))
    return markets
