"""`ticker.SYM`: the last 24 hours, the best prices and the outside market's, at most four times a second.

The 24 hours come from Redis, where they are written after each count of trades (`marketdata.tickers`); the last
price and the best ones are live. The outside price is stale if its publisher says so, or says nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

import msgspec
import redis
import redis.asyncio

from exchange.base import redis_keys
from exchange.base.decimals import plain_or_none
from exchange.base.times import now_text
from marketdata.prices.publisher import Price
from marketdata.stream.books import Books, KeptBook
from marketdata.stream.chain import Chain
from marketdata.stream.channel import Channel
from marketdata.stream.markets import Market
from marketdata.stream.messages import Ticker, TickerMessage, TickerSnapshot
from marketdata.stream.tasks import Tasks, Throttle
from marketdata.tickers import announce
from marketdata.tickers.announce import Note
from matching.feed import Batch, TradeNote

PUBLISH_SECONDS = 0.25
PATIENCE_SECONDS = 5.0  # a price is published each second, changed or not
CENT = Decimal("0.01")

decode_note = msgspec.json.Decoder(Note).decode
decode_price = msgspec.json.Decoder(Price).decode

_NOTHING = Note("", None, None, None, "0", "0", 0, None, 0, "")


class TickerChannel(Channel):
    snapshot_message = TickerSnapshot

    def __init__(
        self,
        name: str,
        market: Market,
        chain: Chain,
        books: Books,
        client: redis.asyncio.Redis,
        tasks: Tasks,
    ) -> None:
        super().__init__(name)
        self._market = market
        self._chain = chain
        self._books = books
        self._client = client
        self._tasks = tasks
        self._book: KeptBook | None = None
        self._note = _NOTHING
        self._price: Price | None = None
        self._price_until = 0.0
        self._last: tuple[int, str] = (0, "")  # number and price of the newest trade from the feed
        self._told: Ticker | None = None
        self._throttle = Throttle(PUBLISH_SECONDS, self._publish)

    def open(self) -> None:
        self._book = self._books.join(self._market, self._chain, self)
        self._tasks.start(self._load())

    def close(self) -> None:
        self._throttle.cancel()
        if self._book is not None:
            self._books.leave(self._book, self)
            self._book = None

    def lost(self) -> None:
        self.void()
        self._tasks.start(self._load())

    def state(self) -> Ticker:
        market, note, price = self._market, self._note, self._price
        number, last = self._last
        live = number > note.last_number
        if not live and note.last is not None:
            last = market.price(Decimal(note.last))
        opened = None if note.open is None else Decimal(note.open)
        change = Decimal(last) - opened if last and opened else None
        bid, ask = self._best()
        return Ticker(
            symbol=market.symbol,
            last=last or None,
            bid=bid,
            ask=ask,
            open=None if opened is None else market.price(opened),
            high=self._extreme(max, note.high, last if live else None),
            low=self._extreme(min, note.low, last if live else None),
            volume=market.quantity(Decimal(note.volume)),
            quote_volume=note.quote_volume,
            change=plain_or_none(change),
            change_percent=None
            if change is None or not opened
            else str((change / opened * 100).quantize(CENT)),
            trades=note.trades,
            price=price.price if price else None,
            price_source=price.source if price else None,  # type: ignore[arg-type]
            price_at=price.timestamp if price else None,
            stale=price is None or price.stale or asyncio.get_running_loop().time() > self._price_until,
        )

    # What changes it

    def noted(self, note: Note) -> None:
        """The last 24 hours."""
        if (note.last_number, note.timestamp) >= (self._note.last_number, self._note.timestamp):
            self._note = note
            self._throttle.request()

    def priced(self, price: Price) -> None:
        """The outside market's price."""
        self._price = price
        self._price_until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        self._throttle.request()

    def traded(self, note: TradeNote, batch: Batch) -> None:
        if note.number > self._last[0]:
            self._last = (note.number, note.price)
            self._throttle.request()

    def book_loaded(self, timestamp: str) -> None:
        self._throttle.request()

    def book_changed(self, timestamp: str) -> None:
        self._throttle.request()

    def book_lost(self) -> None:
        self._throttle.request()

    def second(self) -> None:
        """A second has passed: what was not renewed may have become stale."""
        self._throttle.request()

    # Inside

    async def _load(self) -> None:
        symbol = self._market.symbol
        try:
            note, price = await self._client.mget(announce.key(symbol), redis_keys.price(symbol))
        except redis.RedisError:
            note = price = None  # `lost` comes when Redis is back
        if note is not None:
            self.noted(decode_note(note))
        if price is not None:
            self.priced(decode_price(price))
        self.renew()
        self._told = self.state()

    def _publish(self) -> None:
        if not self.ready:
            return
        now = self.state()
        if now != self._told:
            self._told = now
            self.publish(TickerMessage, now, now_text())

    def _best(self) -> tuple[str | None, str | None]:
        replica = self._book.replica if self._book is not None else None
        if replica is None or replica.short:
            return None, None
        bid, ask, text = replica.bids.best, replica.asks.best, self._market.scale.price_text
        return (None if bid is None else text(bid)), (None if ask is None else text(ask))

    def _extreme(
        self, pick: Callable[[list[Decimal]], Decimal], known: str | None, live: str | None
    ) -> str | None:
        values = [Decimal(each) for each in (known, live) if each]
        return self._market.price(pick(values)) if values else None
