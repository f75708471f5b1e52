"""The books, rebuilt from PostgreSQL as a worker rebuilds them, and checked by the core's own invariants."""

from __future__ import annotations

import time
from collections.abc import Iterator

from matching.core import invariants
from matching.core.state import BookState, export
from trading import recovery
from trading.catalog import Market
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
    for market in snapshot.markets:
        try:
            book = recovery.load(snapshot.connection, [market]).engine.books[market.id]
            finding.count += len(book.orders) + len(book.stops)
            invariants.check(book)
        except AssertionError as error:
            finding.breach(f"{market.symbol}: {error}")
    finding.seconds = time.monotonic() - started
    yield finding


def state(snapshot: Snapshot, market: Market) -> BookState:
    """Raises AssertionError if the book cannot be rebuilt."""
    (state,) = export(recovery.load(snapshot.connection, [market]).engine)
    return state
