"""Tickers for REST: the last 24 hours, the best prices, the reference price.

PostgreSQL and Redis are read once for all markets, and what came of it is kept for half a second. Without
Redis the best prices are added up from the open orders, and there is no reference price.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import redis
from django.db import connection

from exchange.base import redis_keys
from exchange.base.decimals import plain, plain_or_none
from exchange.base.redis import Circuit, client
from marketdata.candles.statistics import Statistics, statistics
from marketdata.models.markets import Market, markets
from marketdata.prices.publisher import Price

KEEP_SECONDS = 0.5

Top = tuple[Decimal | None, Decimal | None]  # bid and ask

_BEST = """
    (SELECT price FROM read_book_level
      WHERE instrument_id = i.id AND side = '{side}' AND price IS NOT NULL ORDER BY price {order} LIMIT 1)"""
_BID, _ASK = _BEST.format(side="BUY", order="DESC"), _BEST.format(side="SELL", order="ASC")
_TOPS = f"SELECT i.id, {_BID}, {_ASK} FROM read_instrument i"  # noqa: S608


class TickerView(msgspec.Struct):
    """The last 24 hours in whole minutes, the running one included. `open`, `high`, `low` and the change are
    null if nobody traded in them; `last` is the last price ever. `price` is the market's reference price and
    where it is from.
    """

    symbol: str
    last: str | None
    bid: str | None
    ask: str | None
    open: str | None
    high: str | None
    low: str | None
    volume: str
    quote_volume: str
    change: str | None
    change_percent: str | None
    trades: int
    price: str | None
    price_source: str | None
    price_at: str | None
    stale: bool
    timestamp: datetime


_decode_price = msgspec.json.Decoder(Price).decode
_circuit = Circuit()
_kept: tuple[float, dict[str, TickerView]] = (0.0, {})


def tickers() -> dict[str, TickerView]:
    """All of them, by symbol."""
    global _kept
    now = time.monotonic()
    until, views = _kept
    if now < until:
        return views
    if views:
        _kept = (now + 1.0, views)  # while this thread reads, the others go on with what is known
    try:
        views = _views()
    except BaseException:
        clear_cache()
        raise
    _kept = (now + KEEP_SECONDS, views)
    return views


def clear_cache() -> None:
    global _kept
    _kept = (0.0, {})


def _views() -> dict[str, TickerView]:
    now = datetime.now(UTC)
    known = markets()
    tops, prices = _from_redis(known)
    if tops is None:
        tops = _tops_of_orders()
    found = {each.instrument: each for each in statistics(None, now)}
    return {
        market.symbol: _view(found[market.id], tops.get(market.id, (None, None)), prices.get(market.id), now)
        for market in known
        if market.id in found
    }


def _from_redis(known: list[Market]) -> tuple[dict[int, Top] | None, dict[int, Price]]:
    """Best prices and reference prices; None and nothing without Redis, or before a matcher published them."""
    if not known or _circuit.away():
        return None, {}
    pipe = client().pipeline(transaction=False)
    pipe.hgetall(redis_keys.TOPS)
    pipe.mget([redis_keys.price(market.symbol) for market in known])
    try:
        in_ticks, bodies = pipe.execute()
    except redis.RedisError as error:
        _circuit.failed(error)
        return None, {}
    _circuit.works()
    prices = {
        market.id: _decode_price(body) for market, body in zip(known, bodies, strict=True) if body is not None
    }
    if not in_ticks:
        return None, prices
    return {market.id: _top(market, in_ticks.get(str(market.id).encode())) for market in known}, prices


def _top(market: Market, text: bytes | None) -> Top:
    if text is None:
        return None, None
    bid, ask = (int(ticks) * market.tick_size for ticks in text.split())
    return bid or None, ask or None


def _tops_of_orders() -> dict[int, Top]:
    with connection.cursor() as cursor:
        cursor.execute(_TOPS)
        return {instrument: (bid, ask) for instrument, bid, ask in cursor.fetchall()}


def _view(of: Statistics, top: Top, price: Price | None, now: datetime) -> TickerView:
    return TickerView(
        symbol=of.symbol,
        last=plain_or_none(of.last),
        bid=plain_or_none(top[0]),
        ask=plain_or_none(top[1]),
        open=plain_or_none(of.open),
        high=plain_or_none(of.high),
        low=plain_or_none(of.low),
        volume=plain(of.volume),
        quote_volume=plain(of.quote_volume),
        change=plain_or_none(of.change),
        change_percent=None if of.change_percent is None else str(of.change_percent),
        trades=of.trades,
        price=price.price if price else None,
        price_source=price.source if price else None,
        price_at=price.timestamp if price else None,
        stale=price is None or price.stale,
        timestamp=now,
    )
