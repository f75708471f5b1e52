"""The rules, and the partitions that are due by them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import connection

from exchange.base import ids
from exchange.platform.audit import archives
from exchange.platform.audit.archive_files import Content

_BOUNDS = re.compile(r"FROM \('([0-9a-f-]{36})'\) TO \('([0-9a-f-]{36})'\)")
_PARTITIONS = """
    SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = to_regclass(%s)"""

_STRAY = """
    SELECT 'records and seals do not match: audit --verify says where'
      FROM {records} r FULL JOIN {seals} s ON s.id = r.id WHERE r.id IS NULL OR s.id IS NULL LIMIT 1"""
_OPEN = """
    SELECT 'order ' || id || ' was not closed in time' FROM {partition}
     WHERE closed_at IS NULL OR closed_at >= '{before}' LIMIT 1"""
_TRADED = "SELECT 'trades of its time are not archived' FROM trading_trade WHERE id < '{floor}' LIMIT 1"
_ORDERS = """
    SELECT o.*, c.fingerprint FROM {partition} o
      LEFT JOIN trading_clientorder c ON c.user_id = o.user_id AND c.client_order_id = o.client_order_id
     ORDER BY o.id"""
_FORGET_NAMES = """
    DELETE FROM trading_clientorder c USING {partition} o
     WHERE c.user_id = o.user_id AND c.client_order_id = o.client_order_id"""

YEARS = {"audit_record": 7, "trading_trade": 5, "trading_order": 5, "members_user": 10}


@dataclass(frozen=True)
class Unit:
    """What is archived as one file and dropped as one. A row of a `blocked` query says why it can't be, yet."""

    content: Content
    partitions: Sequence[tuple[str, str]]  # table and partition
    blocked: Sequence[str]
    first: Sequence[str] = ()  # statements that go before the drop


def cutoff(table: str, now: datetime) -> datetime:
    """What is older is due. A whole day, so that a day's trades are due at once."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    year = day.year - YEARS[table]
    return day.replace(year=year) if (day.month, day.day) != (2, 29) else day.replace(year=year, day=28)


def due(now: datetime) -> Iterator[Unit]:
    """Oldest first, and trades before the orders that made them."""
    yield from _audit(now)
    yield from _trades(now)
    yield from _orders(now)


def _audit(now: datetime) -> Iterator[Unit]:
    for name, lower, upper in _expired("audit_record", now):
        seals = name.replace("audit_record", "audit_seal")
        yield Unit(
            _content(name, "audit_record", lower, upper, archives.query(name, seals)),
            [("audit_record", name), ("audit_seal", seals)],
            [_STRAY.format(records=name, seals=seals)],
        )


def _trades(now: datetime) -> Iterator[Unit]:
    for name, lower, upper in _expired("trading_trade", now):
        query = f"SELECT * FROM {name} ORDER BY id"
        yield Unit(_content(name, "trading_trade", lower, upper, query), [("trading_trade", name)], [])


def _orders(now: datetime) -> Iterator[Unit]:
    """An order goes when it was closed before the cut-off and all trades of before that are gone."""
    before = cutoff("trading_order", now)
    traded = _TRADED.format(floor=ids.floor(before))
    for name, lower, upper in _expired("trading_order", now):
        yield Unit(
            _content(name, "trading_order", lower, upper, _ORDERS.format(partition=name)),
            [("trading_order", name)],
            [_OPEN.format(partition=name, before=before.isoformat()), traded],
            [_FORGET_NAMES.format(partition=name)],
        )


def _content(name: str, source: str, lower: str, upper: str, query: str) -> Content:
    return Content(name, source, lower, upper, query, f"{source}: {YEARS[source]} years")


def _expired(table: str, now: datetime) -> list[tuple[str, str, str]]:
    """Name and bounds of the partitions that end before the cut-off, oldest first."""
    limit = str(ids.floor(cutoff(table, now)))
    with connection.cursor() as cursor:
        cursor.execute(_PARTITIONS, [table])
        found = [(name, _BOUNDS.search(bounds)) for name, bounds in cursor.fetchall()]
    expired = [(name, *bounds.groups()) for name, bounds in found if bounds and bounds[2] <= limit]
    return sorted(expired, key=lambda each: each[1])
