"""The books, rebuilt from PostgreSQL as a worker rebuilds them, and checked by the core's own invariants."""

from __future__ import annotations

import time
from collections.abc import Iterator

from matching.core import invariants
from matching.core.state import BookState, export
from trading.reference.catalog import Market
from trading.settlement import recovery
from trading.verify.check import Finding, Progress, Rule
from trading.verify.snapshot import Snapshot

RULE = Rule(
    "books",
    6,
    "books can be rebuilt, stand in order of price and time, and are not crossed",
    "resting orders and stops",
)


def check(snapshot: Snapshot, progress: Progress) -> Iterator[Finding]:
    progress(RULE.says)
    started = time.monotonic()
    finding = Finding(RULE)
    for symbol in _left_out(snapshot):
        finding.breach(f"{symbol}: no market can be made of what is said of it")
    for market in snapshot.markets:
        try:
            book = recovery.load(snapshot.connection, [market]).engine.books[market.id]
            finding.count += len(book.orders) + len(book.stops)
            invariants.check(book)
        except AssertionError as error:
            finding.breach(f"{market.symbol}: {error}")
    finding.seconds = time.monotonic() - started
    yield finding


def _left_out(snapshot: Snapshot) -> list[str]:
    """Instruments that the catalog does not take, because their steps or limits do not fit together."""
    known = [market.id for market in snapshot.markets]
    rows = snapshot.connection.execute(
        "SELECT symbol FROM trading_instrument WHERE id <> ALL (%s) ORDER BY symbol", (known,)
    )
    return [symbol for (symbol,) in rows]


def state(snapshot: Snapshot, market: Market) -> BookState:
    """Raises AssertionError if the book cannot be rebuilt."""
    (state,) = export(recovery.load(snapshot.connection, [market]).engine)
    return state
