"""The journal, replayed into empty books, gives the same trades and the same books.

The core alone decides; nothing that PostgreSQL says about orders goes in. Books start empty and in TRADING,
and change their status by the journal's own commands. Batches are read in the order they were written, which
is the order of each group, so a market that changed groups goes on with the commands of the new one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

import psycopg

from matching.core.commands import AnyCommand
from matching.core.engine import Engine
from matching.core.events import Traded
from matching.core.state import BookState, OrderState, digest, export
from matching.core.types import Side
from trading.catalog import Market
from trading.verify import books
from trading.verify.check import Finding, Progress, Rule
from trading.verify.journal import batches
from trading.verify.snapshot import Snapshot

TRADES = Rule("replay_trades", 8, "the replayed journal gives the trades that are there", "trades")
BOOKS = Rule("replay_books", 8, "the replayed journal gives the books that are there", "books")
REPORT_EVERY = 100_000  # commands

_TRADES = """
    SELECT number, CASE WHEN price %% tick_size = 0 THEN (price / tick_size)::bigint ELSE -1 END,
           CASE WHEN quantity %% lot_size = 0 THEN (quantity / lot_size)::bigint ELSE -1 END,
           CASE WHEN is_buyer_maker THEN buyer_order_id ELSE seller_order_id END::text,
           CASE WHEN is_buyer_maker THEN seller_order_id ELSE buyer_order_id END::text,
           CASE WHEN is_buyer_maker THEN 'SELL' ELSE 'BUY' END
      FROM trading_trade t JOIN trading_instrument i ON i.id = t.instrument_id
     WHERE instrument_id = %s ORDER BY number, t.id"""


class Fill(NamedTuple):
    """A trade as both the core and the database know it, in ticks and lots."""

    number: int
    price: int
    quantity: int
    maker: str
    taker: str
    taker_side: str

    def __str__(self) -> str:
        terms = f"{self.taker_side} {self.quantity} lots at {self.price} ticks"
        return f"trade {self.number}: {terms}, maker {self.maker}, taker {self.taker}"


@dataclass
class Replay:
    """Ends at the first difference, as nothing can be the same after it."""

    snapshot: Snapshot
    progress: Progress
    commands: int = 0
    seconds: float = 0.0
    trades: Finding = field(default_factory=lambda: Finding(TRADES))
    books: Finding = field(default_factory=lambda: Finding(BOOKS))

    @property
    def symbols(self) -> dict[int, str]:
        return {market.id: market.symbol for market in self.snapshot.markets}

    def run(self) -> Iterator[Finding]:
        """The books are not compared after a difference in trades."""
        self.progress(TRADES.says)
        started = time.monotonic()
        engine = Engine()
        for market in self.snapshot.markets:
            engine.add(market.id)
        self._replay(engine)
        self.seconds = self.trades.seconds = time.monotonic() - started
        yield self.trades
        if not self.trades.breaches:
            self._compare_books(engine)
            self.books.seconds = time.monotonic() - started - self.seconds
            yield self.books

    def _replay(self, engine: Engine) -> None:
        connection, markets = self.snapshot.connection, self.snapshot.markets
        stored = {market.id: _stored_trades(connection, market) for market in markets}
        for batch in batches(connection):
            for sequence, envelope in enumerate(batch.envelopes, batch.first):
                command = envelope.command
                difference = self._apply(engine, stored, command, sequence)
                if difference:
                    place = f"group {batch.group} sequence {sequence}, {type(command).__name__} {command.id}"
                    self.trades.breach(f"{place}: {difference}")
                    return
                self.commands += 1
                if self.commands % REPORT_EVERY == 0:
                    self.progress(f"{self.commands:,} commands replayed")
        for market in markets:
            extra = next(stored[market.id], None)
            if extra is not None:
                self.trades.breach(f"{market.symbol}: the journal ends before {extra}")

    def _apply(
        self, engine: Engine, stored: dict[int, Iterator[Fill]], command: AnyCommand, sequence: int
    ) -> str | None:
        """What the command does that is not as it is stored."""
        if command.instrument not in engine.books:
            return f"there is no instrument {command.instrument}"
        try:
            events = engine.apply(command, sequence)
        except AssertionError as error:
            return f"the core refuses it: {error}"
        for event in events:
            if isinstance(event, Traded):
                self.trades.count += 1
                expected, found = _fill(event), next(stored[event.instrument], None)
                if expected != found:
                    symbol = self.symbols[event.instrument]
                    return f"{symbol} expected {expected}; found {found or 'none'}"
        return None

    def _compare_books(self, engine: Engine) -> None:
        self.progress(BOOKS.says)
        for market in self.snapshot.markets:
            self.books.count += 1
            (expected,) = export(engine.books[market.id])
            try:
                found = books.state(self.snapshot, market)
            except AssertionError as error:
                self.books.breach(f"{market.symbol}: the stored book cannot be rebuilt: {error}")
                continue
            if digest([expected]) != digest([found]):
                self.books.breach(f"{market.symbol}: {_difference(expected, found)}")


def _stored_trades(connection: psycopg.Connection[Any], market: Market) -> Iterator[Fill]:
    with connection.cursor(f"trades_{market.id}", binary=True) as cursor:
        cursor.itersize = 5000
        for row in cursor.execute(_TRADES, (market.id,)):
            yield Fill(*row)


def _fill(event: Traded) -> Fill:
    side = Side(event.taker_side).name
    return Fill(event.number, event.price, event.quantity, event.maker, event.taker, side)


def _difference(expected: BookState, found: BookState) -> str:
    """The first thing that two books do not agree on."""
    for name in ("status", "last_trade_number"):
        one, other = getattr(expected, name), getattr(found, name)
        if one != other:
            return f"{name}: expected {one}, found {other}"
    for name in ("bids", "asks", "stops"):
        for place, (one, other) in enumerate(zip_longest(getattr(expected, name), getattr(found, name)), 1):
            if one != other:
                return f"{name}, place {place}: expected {_order(one)}, found {_order(other)}"
    raise AssertionError("equal books have the same hash")


def _order(order: OrderState | None) -> str:
    return "nothing" if order is None else str(order)
