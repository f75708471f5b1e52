"""Answers to TradingView's charting library, in the shapes of its Universal Data Feed protocol.

https://www.tradingview.com/charting-library-docs/latest/connecting_data/UDF/ says what each field means.
Prices and volumes are JSON numbers there; they are written from exact decimals. Intervals without trades have
no bar, as the protocol wants it.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from exchange.base.decimals import plain
from marketdata.candles import selectors
from marketdata.candles.selectors import Candle
from marketdata.models import Interval
from marketdata.models.markets import Market

MOST_BARS = 5000
KIND = "crypto"
RESOLUTIONS = {
    "1": Interval.M1,
    "5": Interval.M5,
    "15": Interval.M15,
    "60": Interval.H1,
    "240": Interval.H4,
    "1D": Interval.D1,
}
INTRADAY = [name for name in RESOLUTIONS if name != "1D"]

Number = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "number"})]


class UdfExchange(msgspec.Struct):
    value: str
    name: str
    desc: str


class UdfKind(msgspec.Struct):
    name: str
    value: str


class UdfConfig(msgspec.Struct):
    exchanges: list[UdfExchange]
    symbols_types: list[UdfKind]
    supported_resolutions: list[str]
    supports_search: bool = True
    supports_group_request: bool = False
    supports_marks: bool = False
    supports_timescale_marks: bool = False
    supports_time: bool = True


class UdfSymbol(msgspec.Struct):
    """A price is shown as a whole number of `minmov` / `pricescale`."""

    name: str
    ticker: str
    description: str
    type: str
    exchange: str
    listed_exchange: str
    currency_code: str
    minmov: int
    pricescale: int
    volume_precision: int
    supported_resolutions: list[str]
    intraday_multipliers: list[str]
    daily_multipliers: list[str]
    session: str = "24x7"
    timezone: str = "Etc/UTC"
    format: str = "price"
    minmove2: int = 0
    has_intraday: bool = True
    has_daily: bool = True
    has_weekly_and_monthly: bool = False
    data_status: str = "streaming"


class UdfFound(msgspec.Struct):
    symbol: str
    full_name: str
    description: str
    exchange: str
    ticker: str
    type: str


class UdfHistory(msgspec.Struct, rename={"next_time": "nextTime"}):
    """Bars, oldest first: `t` is the start in seconds since 1970. With `no_data`, `nextTime` is the start of the
    newest bar before, if there is any.
    """

    s: Literal["ok", "no_data"]
    t: list[int]
    o: list[Number]
    h: list[Number]
    l: list[Number]  # noqa: E741
    c: list[Number]
    v: list[Number]
    next_time: int | UnsetType = UNSET


def config(venue: str) -> UdfConfig:
    return UdfConfig(
        exchanges=[UdfExchange("", "All", ""), UdfExchange(venue, venue, venue)],
        symbols_types=[UdfKind("All", ""), UdfKind("Crypto", KIND)],
        supported_resolutions=list(RESOLUTIONS),
    )


def symbol(market: Market, venue: str) -> UdfSymbol:
    pricescale = 10 ** _places(market.tick_size)
    return UdfSymbol(
        name=market.symbol,
        ticker=market.symbol,
        description=_description(market),
        type=KIND,
        exchange=venue,
        listed_exchange=venue,
        currency_code=market.quote,
        minmov=int(market.tick_size * pricescale),
        pricescale=pricescale,
        volume_precision=_places(market.lot_size),
        supported_resolutions=list(RESOLUTIONS),
        intraday_multipliers=INTRADAY,
        daily_multipliers=["1"],
    )


def search(known: list[Market], text: str, venue: str, limit: int) -> list[UdfFound]:
    """Markets whose symbol has `text` in it; those that begin with it first."""
    wanted = text.strip().upper().replace("-", "/")
    found = sorted(
        (each for each in known if wanted in each.symbol or wanted in each.base + each.quote),
        key=lambda each: (not each.symbol.startswith(wanted), each.symbol),
    )
    return [
        UdfFound(each.symbol, f"{venue}:{each.symbol}", _description(each), venue, each.symbol, KIND)
        for each in found[:limit]
    ]


def history(
    symbol: str, resolution: str, since: datetime, until: datetime, count: int | None
) -> UdfHistory | None:
    """Bars from `since` on and before `until`, the newest `MOST_BARS`; with `count`, as many before `until`,
    however old. None if there is no such symbol.
    """
    interval = RESOLUTIONS[resolution]
    found = selectors.candles(symbol, interval, None, until, count or MOST_BARS)
    if found is None:
        return None
    bars = found if count else [candle for candle in found if candle.start >= since]
    if bars or not found:
        return _history(bars)
    return UdfHistory("no_data", [], [], [], [], [], [], _seconds(found[-1]))


def _history(bars: list[Candle]) -> UdfHistory:
    return UdfHistory(
        s="ok" if bars else "no_data",
        t=[_seconds(bar) for bar in bars],
        o=[_number(bar.open) for bar in bars],
        h=[_number(bar.high) for bar in bars],
        l=[_number(bar.low) for bar in bars],
        c=[_number(bar.close) for bar in bars],
        v=[_number(bar.volume) for bar in bars],
    )


def _number(value: Decimal) -> msgspec.Raw:
    return msgspec.Raw(plain(value).encode())


def _seconds(bar: Candle) -> int:
    return int(bar.start.timestamp())


def _description(market: Market) -> str:
    return f"{market.base} / {market.quote}"


def _places(step: Decimal) -> int:
    """How many decimal places multiples of `step` have."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "a finite number"
    return max(0, -exponent)
