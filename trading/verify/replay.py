"""The journal, replayed into empty books, gives the same trades and the same books.

The core alone decides; nothing that PostgreSQL says about orders goes in. Books start empty and in TRADING,
and change their status by the journal's own commands. Batches are read in the order they were written, which
is the order of each group. A market begins in the group whose journal names it first, and goes from one group's
engine to another's where both journals say so.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from matching.core.book import Book
from matching.core.commands import Adopt, AnyCommand, Release
from matching.core.engine import Engine
from matching.core.events import Event, Traded
from matching.core.state import BookState, OrderState, digest, export
from matching.core.types import Side
from trading.reference.catalog import Market
from trading.verify import books
from trading.verify.check import Finding, Progress, Rule
from trading.verify.journal import batches, retained_from
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
    first_kept: dict[int, int] = field(
        default_factory=dict
    )  # trade number by instrument: older ones are archived
    trades: Finding = field(default_factory=lambda: Finding(TRADES))
    books: Finding = field(default_factory=lambda: Finding(BOOKS))

    @property
    def symbols(self) -> dict[int, str]:
        return {market.id: market.symbol for market in self.snapshot.markets}

    def run(self) -> Iterator[Finding]:
        """The books are not compared after a difference in trades."""
        self.progress(TRADES.says)
        started = time.monotonic()
        groups = _Groups({market.id for market in self.snapshot.markets})
        self._replay(groups)
        self.seconds = self.trades.seconds = time.monotonic() - started
        yield self.trades
        if not self.trades.breaches:
            self._compare_books(groups)
            self.books.seconds = time.monotonic() - started - self.seconds
            yield self.books

    def _replay(self, groups: _Groups) -> None:
        connection, markets = self.snapshot.connection, self.snapshot.markets
        stored = {market.id: _stored_trades(connection, market) for market in markets}
        self.first_kept = _first_kept(connection, markets)
        for batch in batches(connection):
            for sequence, envelope in enumerate(batch.envelopes, batch.first):
                command = envelope.command
                difference = self._apply(groups, stored, batch.group, command, sequence)
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
        self,
        groups: _Groups,
        stored: dict[int, Iterator[Fill]],
        group: str,
        command: AnyCommand,
        sequence: int,
    ) -> str | None:
        """What the command does that is not as it is stored."""
        if command.instrument not in groups.instruments:
            return f"there is no instrument {command.instrument}"
        try:
            events = groups.apply(group, command, sequence)
        except AssertionError as error:
            return f"the core refuses it: {error}"
        for event in events:
            if isinstance(event, Traded):
                if event.number < self.first_kept[event.instrument]:
                    continue
                self.trades.count += 1
                expected, found = _fill(event), next(stored[event.instrument], None)
                if expected != found:
                    symbol = self.symbols[event.instrument]
                    return f"{symbol} expected {expected}; found {found or 'none'}"
        return None

    def _compare_books(self, groups: _Groups) -> None:
        self.progress(BOOKS.says)
        for market in self.snapshot.markets:
            self.books.count += 1
            if market.id not in groups.home:
                groups.open(market.group, market.id)
            if groups.home[market.id] != market.group:
                self.books.breach(
                    f"{market.symbol}: its group is {market.group}, not {groups.home[market.id]}"
                )
                continue
            (expected,) = export(groups.engines[market.group].books[market.id])
            try:
                found = books.state(self.snapshot, market)
            except AssertionError as error:
                self.books.breach(f"{market.symbol}: the stored book cannot be rebuilt: {error}")
                continue
            if digest([expected]) != digest([found]):
                self.books.breach(f"{market.symbol}: {_difference(expected, found)}")


class _Groups:
    """An engine for each group. `home` is where each instrument's book is, if the journal has named it yet."""

    def __init__(self, instruments: set[int]) -> None:
        self.instruments = instruments
        self.engines: defaultdict[str, Engine] = defaultdict(Engine)
        self.home: dict[int, str] = {}
        self._released: dict[int, Book] = {}

    def open(self, group: str, instrument: int) -> None:
        self.home[instrument] = group
        self.engines[group].add(instrument)

    def apply(self, group: str, command: AnyCommand, sequence: int) -> list[Event]:
        """Raises AssertionError if the core refuses it, or the book is another group's."""
        instrument, engine = command.instrument, self.engines[group]
        if isinstance(command, Adopt):
            book = self._released.pop(instrument, None)
            assert book is not None, f"instrument {instrument} was not released"
            engine.adopt(book, command, sequence)
            self.home[instrument] = group
            return []
        if instrument not in self.home:
            self.open(group, instrument)
        assert instrument in engine.books, f"instrument {instrument} is in group {self.home[instrument]}"
        if isinstance(command, Release):
            self._released[instrument] = engine.release(command, sequence)
            self.home[instrument] = command.group
            return []
        return engine.apply(command, sequence)


def _stored_trades(connection: psycopg.Connection[Any], market: Market) -> Iterator[Fill]:
    with connection.cursor(f"trades_{market.id}", binary=True) as cursor:
        cursor.itersize = 5000
        for row in cursor.execute(_TRADES, (market.id,)):
            yield Fill(*row)


def _first_kept(connection: psycopg.Connection[Any], markets: list[Market]) -> dict[int, int]:
    """By instrument, the number of the first trade that is not in an archive."""
    if retained_from(connection, "trading_trade") == str(UUID(int=0)):
        return {market.id: 1 for market in markets}
    rows = connection.execute("SELECT instrument_id, min(number) FROM trading_trade GROUP BY instrument_id")
    return {market.id: sys.maxsize for market in markets} | dict(rows.fetchall())


def _fill(event: Traded) -> Fill:
    side = Side(event.taker_side).name
    return Fill(event.number, event.price, event.quantity, event.maker, event.taker, side)


def _difference(expected: BookState, found: BookState) -> str:
    """The first thing that two books do not agree on."""
    for name in ("status", "last_trade_number", "priority_offset"):
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
