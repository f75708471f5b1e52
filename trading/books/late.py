"""What came into a day after it was closed: found by its totals, named by PostgreSQL's own snapshot of the closing."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg

from trading.models import EndOfDay
from trading.verify import check

NAMED = 20  # transactions that are named

# xmin has 32 bits; the transaction counter in front of it is that of now, or the one before. A restored database has
# new ones, so these names are only asked for where totals differ.
_LATE = """
    WITH counter AS (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::numeric AS next)
    SELECT DISTINCT entry.id::text, entry.kind
      FROM counter, trading_transaction entry JOIN trading_posting posting ON posting.transaction_id = entry.id
     CROSS JOIN LATERAL (SELECT div(next, 4294967296) * 4294967296 + posting.xmin::text::numeric AS number) AS writer
     WHERE entry.created_at >= %s AND entry.created_at < %s
       AND NOT pg_visible_in_snapshot(
               (CASE WHEN number >= next THEN greatest(number - 4294967296, 0) ELSE number END)::text::xid8,
               %s::pg_snapshot)
     ORDER BY 1 LIMIT %s"""


def differences(connection: psycopg.Connection[Any], day: date | None = None) -> list[str]:
    """Where closed days are not what their reports say, `day` or all; one line each."""
    found = []
    for each in check.load("closed_days"):
        rows = f"SELECT breach FROM ({each.rows}) AS looked_at WHERE breach IS NOT NULL ORDER BY 1"  # noqa: S608
        found += [breach for (breach,) in connection.execute(rows)]
    return found if day is None else [line for line in found if line.startswith(f"day {day.isoformat()}")]


def transactions(connection: psycopg.Connection[Any], closed: EndOfDay) -> list[str]:
    """Those of the day that its closing did not see: `KIND id`."""
    bounds = (closed.starts_at, closed.ends_at, closed.snapshot, NAMED)
    return [f"{kind} {name}" for name, kind in connection.execute(_LATE, bounds)]
