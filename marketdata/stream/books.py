"""Order books: the replica of each that has clients, and the channels that show it.

`orderbook.SYM` sends every batch that changed what is shown, `orderbook.SYM@100ms` of all changes of a tenth
of a second together. The ticker takes best bid and ask from the same replica.

A book is loaded from `book:{symbol}` in Redis and goes on from there with the group's messages. It is loaded
again when something was missed, and when so many levels were taken that the ones beyond the cut come near.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

import msgspec
import redis
import redis.asyncio

from exchange.base import redis_keys
from exchange.base.times import now_text
from marketdata.stream.chain import Chain
from marketdata.stream.channel import Channel
from marketdata.stream.markets import Market
from marketdata.stream.messages import Book, BookChanges, BookSnapshot, OrderBookUpdate
from marketdata.stream.replica import Replica, Side, View
from marketdata.stream.tasks import Tasks, Throttle
from matching.feed import Batch, BookChange
from matching.snapshot import DEPTH

CONFLATED_SECONDS = 0.1


class Written(msgspec.Struct):
    """`book:{symbol}` as the matcher writes it."""

    epoch: int
    sequence: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


_decode = msgspec.json.Decoder(Written).decode


class Reader(Protocol):
    def book_loaded(self, timestamp: str) -> None:
        """There is a book, and it need not have anything to do with the one before."""

    def book_changed(self, timestamp: str) -> None: ...

    def book_lost(self) -> None:
        """The book is not to be trusted until it has been loaded."""


class KeptBook:
    """One market's book while it has readers."""

    def __init__(self, market: Market, chain: Chain, client: redis.asyncio.Redis, tasks: Tasks) -> None:
        self.market = market
        self.replica: Replica | None = None
        self.readers: set[Reader] = set()
        self._chain = chain
        self._client = client
        self._tasks = tasks
        self._loading = False

    def join(self, reader: Reader) -> None:
        self.readers.add(reader)
        if self.replica is None:
            self.load()
        elif not self.replica.short:
            reader.book_loaded(now_text())

    def apply(self, change: BookChange, batch: Batch) -> None:
        replica = self.replica
        if replica is None:
            return
        replica.apply(batch.sequence, change.bids, change.asks)
        if replica.low:
            self.load()
        if not replica.short:
            for reader in self.readers:
                reader.book_changed(batch.timestamp)

    def lose(self) -> None:
        """Something was missed."""
        self.replica = None
        for reader in self.readers:
            reader.book_lost()
        self.load()

    def snapshot_written(self) -> None:
        """The group's worker has just written its books: a better moment to load, if one is due."""
        if self.replica is None or self.replica.low:
            self.load()

    def load(self) -> None:
        """Once; where it does not work out, the worker's next sign of life brings another try."""
        if not self._loading:
            self._loading = True
            self._tasks.start(self._load())

    async def _load(self) -> None:
        try:
            body = await self._client.get(redis_keys.book(self.market.symbol))
        except redis.RedisError:
            body = None  # the feed is of the same Redis, and says so
        finally:
            self._loading = False
        if body is not None:
            self._take(_decode(body))

    def _take(self, written: Written) -> None:
        chain, first = self._chain, self.replica is None
        chain.begin(written.epoch, written.sequence)
        if not chain.covers(written.epoch, written.sequence):
            return
        replica = Replica(
            written.epoch, written.sequence, self._side(-1, written.bids), self._side(1, written.asks)
        )
        for sequence, changes in chain.after(written.sequence):
            for change in changes:
                if change.instrument == self.market.id:
                    replica.apply(sequence, change.bids, change.asks)
        if replica.short:
            return
        self.replica = replica
        timestamp = now_text()
        for reader in self.readers:
            if first:
                reader.book_loaded(timestamp)
            else:
                reader.book_changed(timestamp)

    def _side(self, sign: int, levels: list[tuple[str, str]]) -> Side:
        scale = self.market.scale
        known = [
            (scale.to_ticks(Decimal(price)) or 0, scale.to_lots(Decimal(lots)) or 0) for price, lots in levels
        ]
        return Side(sign, known, cut=len(levels) >= DEPTH)


class Books:
    """By instrument; a book is kept as long as it has a reader."""

    def __init__(self, client: redis.asyncio.Redis, tasks: Tasks) -> None:
        self._client = client
        self._tasks = tasks
        self._kept: dict[int, KeptBook] = {}

    def join(self, market: Market, chain: Chain, reader: Reader) -> KeptBook:
        book = self._kept.get(market.id)
        if book is None:
            book = self._kept[market.id] = KeptBook(market, chain, self._client, self._tasks)
        book.join(reader)
        return book

    def leave(self, book: KeptBook, reader: Reader) -> None:
        book.readers.discard(reader)
        if not book.readers:
            self._kept.pop(book.market.id, None)

    def get(self, instrument: int) -> KeptBook | None:
        return self._kept.get(instrument)

    def of_group(self, group: str) -> list[KeptBook]:
        return [book for book in self._kept.values() if book.market.group == group]


class BookChannel(Channel):
    snapshot_message = BookSnapshot
    conflates = True

    def __init__(self, name: str, market: Market, chain: Chain, books: Books) -> None:
        super().__init__(name)
        self._market = market
        self._chain = chain
        self._books = books
        self._book: KeptBook | None = None
        self._view = View(market.scale)

    def open(self) -> None:
        self._book = self._books.join(self._market, self._chain, self)

    def close(self) -> None:
        if self._book is not None:
            self._books.leave(self._book, self)
            self._book = None

    def lost(self) -> None:
        """The book itself is called first, and calls its readers."""

    def state(self) -> Book:
        view = self._view
        return Book(self._market.symbol, view.bids, view.asks, view.checksum())

    def book_loaded(self, timestamp: str) -> None:
        book = self._books.get(self._market.id)
        assert book is not None and book.replica is not None
        self._view = View(self._market.scale)
        self._view.advance(book.replica)
        self.renew(timestamp)

    def book_changed(self, timestamp: str) -> None:
        if self._book is None or (replica := self._book.replica) is None:
            return
        bids, asks = self._view.advance(replica)
        if bids or asks:
            self.publish(OrderBookUpdate, BookChanges(bids, asks, self._view.checksum()), timestamp)

    def book_lost(self) -> None:
        self.void()


class ConflatedBookChannel(BookChannel):
    def __init__(self, name: str, market: Market, chain: Chain, books: Books) -> None:
        super().__init__(name, market, chain, books)
        self._throttle = Throttle(CONFLATED_SECONDS, self._publish)
        self._changed_at = ""

    def close(self) -> None:
        self._throttle.cancel()
        super().close()

    def book_changed(self, timestamp: str) -> None:
        self._changed_at = timestamp
        self._throttle.request()

    def _publish(self) -> None:
        super().book_changed(self._changed_at)
