"""What answers of market data look like, as the OpenAPI document shows it. `TickerView` is in its selectors."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from marketdata.models import Interval
from marketdata.orderbook.queries import Level
from marketdata.tickers.selectors import TickerView


class CandleView(msgspec.Struct):
    """The trades from `start` on: `open` is the first one's price, `close` the last one's. `closed`: its time
    is over.
    """

    start: datetime
    open: str
    high: str
    low: str
    close: str
    volume: Annotated[str, Meta(description="in the base asset")]
    quote_volume: Annotated[str, Meta(description="in the quote asset")]
    trades: int
    closed: bool


class CandlePage(msgspec.Struct):
    """Oldest first. An interval without trades has no candle unless `fill` was asked for."""

    symbol: str
    interval: Annotated[str, Meta(extra_json_schema={"enum": Interval.values})]
    items: list[CandleView]


class Tickers(msgspec.Struct):
    """By symbol."""

    items: list[TickerView]


class DepthAt(msgspec.Struct):
    """Levels are [price, quantity], best first."""

    taken_at: datetime
    sequence: int | None
    bids: list[Level]
    asks: list[Level]


class DepthHistory(msgspec.Struct):
    """Oldest first, one a minute; there is none for a minute in which nobody kept the book."""

    symbol: str
    items: list[DepthAt]
