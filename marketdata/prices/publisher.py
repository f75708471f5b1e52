"""Prices for all other processes, in Redis.

`price:{symbol}`  {symbol, price, source, timestamp, stale}; gone KEEP seconds after it was last renewed
`prices`          the same as a message, on each change and once a second
`stops:price`     hash of symbol → the price that its stops follow; without the symbol while there is none that
                  may trigger them. It is gone as a whole when it is not renewed: a price of before never
                  triggers a stop.
`stops:moved`     set of symbols to be looked at; each symbol once a second, so that none is forgotten for good
`stops:poked`     there while a check of the stops is on its way; the process that sets it sends the task
                  (for a market without stops none is sent: beat looks each second anyway)
`prices:alive`    {timestamp, instruments}, gone a few seconds after this process

`trading.stops` reads the three of the stops, takes `stops:poked` off, and keeps the sorted sets
`stops:{symbol}:BUY` and `:SELL`.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import redis

from exchange.base import redis_keys
from exchange.base.redis import Circuit, connect_async
from exchange.base.times import now_text
from marketdata.prices.board import News

ALIVE_SECONDS = 5
KEEP = 10
STOP_PRICES_SECONDS = 5
POKED_MILLISECONDS = 1000

_encode = msgspec.json.Encoder().encode


class Price(msgspec.Struct, frozen=True):
    symbol: str
    price: str
    source: str
    timestamp: str
    stale: bool


class Publisher:
    def __init__(self) -> None:
        self._redis = connect_async()
        self._circuit = Circuit()
        self._first = True

    async def publish(self, news: Collection[News]) -> tuple[bool, bool]:
        """Whether Redis took it, and whether a check of the stops is to be sent."""
        if self._circuit.away():
            return False, False
        pipe = self._redis.pipeline(transaction=False)
        if self._first:
            pipe.delete(
                redis_keys.STOP_PRICES
            )  # of a process before this one, the age of whose prices is not known
        for each in news:
            _queue(pipe, each)
        pipe.expire(redis_keys.STOP_PRICES, STOP_PRICES_SECONDS)
        moved = [each.listed.symbol for each in news if each.moved]
        for symbol in moved:
            pipe.zcard(redis_keys.stops(symbol, "BUY"))
            pipe.zcard(redis_keys.stops(symbol, "SELL"))
        try:
            answers = await pipe.execute()
            stops = sum(answers[len(answers) - 2 * len(moved) :])
            check = bool(
                stops and await self._redis.set(redis_keys.STOPS_POKED, 1, nx=True, px=POKED_MILLISECONDS)
            )
        except redis.RedisError as error:
            self._circuit.failed(error)
            return False, False
        self._circuit.works()
        self._first = False
        return True, check

    async def beat(self, instruments: int) -> None:
        if self._circuit.away():
            return
        alive = _encode({"timestamp": now_text(), "instruments": instruments})
        try:
            await self._redis.set(redis_keys.PRICES_ALIVE, alive, ex=ALIVE_SECONDS)
        except redis.RedisError as error:
            self._circuit.failed(error)
        else:
            self._circuit.works()

    async def close(self) -> None:
        await self._redis.aclose()


def _queue(pipe: redis.asyncio.client.Pipeline, news: News) -> None:
    symbol = news.listed.symbol
    if news.view is None:
        pipe.delete(redis_keys.price(symbol))
    else:
        source, (price, timestamp), stale = news.view
        message = _encode(Price(symbol, price, source, timestamp, stale))
        pipe.set(redis_keys.price(symbol), message, ex=KEEP)
        pipe.publish(redis_keys.PRICES, message)
    if news.stop_price is None:
        pipe.hdel(redis_keys.STOP_PRICES, symbol)
    else:
        pipe.hset(redis_keys.STOP_PRICES, symbol, news.stop_price)
        pipe.sadd(redis_keys.STOPS_MOVED, symbol)
