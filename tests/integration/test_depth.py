"""Depth history on a real database: each book once a minute, with and without Redis, for ninety days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from marketdata.models import DepthSnapshot, markets
from marketdata.orderbook import depth_snapshots, queries
from tests.market import SYMBOL, Desk, open_desk

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)
NOW = datetime.now(UTC).replace(second=7, microsecond=0)
AT = NOW.replace(second=0)


@pytest.fixture
def desk(transactional_db: None) -> Iterator[Desk]:
    with open_desk() as desk:
        queries._kept.clear()
        yield desk


def history(
    since: datetime | None = None, until: datetime | None = None, limit: int = 9
) -> list[DepthSnapshot]:
    market = markets.market(SYMBOL)
    assert market is not None
    return depth_snapshots.history(market, since, until, limit)


def levels(row: DepthSnapshot) -> tuple[Any, Any]:
    return row.bids, row.asks


def test_the_best_levels_are_kept_once_a_minute(desk: Desk) -> None:
    alice = desk.user(USDT="100000", BTC="10")
    desk.match(
        *(desk.place(alice, "BUY", "0.1", str(100 - tick)) for tick in range(depth_snapshots.LEVELS + 5))
    )
    desk.trade(alice, "SELL", "0.2", "101.5")
    assert depth_snapshots.take(NOW) == 1
    desk.trade(alice, "SELL", "0.3", "101")
    queries._kept.clear()
    depth_snapshots.take(NOW + timedelta(seconds=20))
    (row,) = history()
    assert (row.taken_at, row.sequence) == (AT, None)
    assert row.bids[:2] == [["100.00", "0.1000"], ["99.00", "0.1000"]]
    assert len(row.bids) == depth_snapshots.LEVELS
    assert row.asks == [["101.50", "0.2000"]], "the first of the minute stays"


def test_the_matchers_book_is_kept_with_its_sequence(desk: Desk) -> None:
    desk.trade(desk.user(USDT="1000"), "BUY", "0.1", "100")
    desk.worker._snapshots.write(desk.worker._engine, 7)
    depth_snapshots.take(NOW)
    (row,) = history()
    assert (row.sequence, levels(row)) == (7, ([["100.00", "0.1000"]], []))


def test_history_goes_by_minutes_from_either_end(desk: Desk) -> None:
    for minute in range(5):
        depth_snapshots.take(NOW + minute * MINUTE)
    taken = [AT + minute * MINUTE for minute in range(5)]
    assert [row.taken_at for row in history()] == taken
    assert [row.taken_at for row in history(limit=2)] == taken[-2:]
    assert [row.taken_at for row in history(since=taken[1], limit=2)] == taken[1:3]
    assert [row.taken_at for row in history(taken[1], taken[3])] == taken[1:3]


def test_what_is_too_old_goes(desk: Desk) -> None:
    depth_snapshots.take(NOW)
    depth_snapshots.take(NOW + depth_snapshots.KEPT)
    assert len(history()) == 2
    depth_snapshots.take(NOW + depth_snapshots.KEPT + MINUTE)
    assert [row.taken_at for row in history()] == [
        AT + depth_snapshots.KEPT,
        AT + depth_snapshots.KEPT + MINUTE,
    ]
