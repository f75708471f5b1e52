"""One moment of a live system, for all checks: a REPEATABLE READ, READ ONLY transaction.

The markets are read through Django, in a second transaction that shares the snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import django.db
import psycopg
from django.db import transaction

from exchange.base.database import connect
from trading.reference.catalog import Market, catalog

# Whole tables are compared: sorts and hashes need memory, and a plan for the few rows of old statistics would
# never end.
SETTINGS = {"work_mem": "128MB", "enable_nestloop": "off", "statement_timeout": "0"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`connection` is in the transaction; to read rows one by one, open a named cursor on it."""

    connection: psycopg.Connection[Any]
    taken_at: datetime
    markets: list[Market]


@contextmanager
def snapshot() -> Iterator[Snapshot]:
    """Raises psycopg.OperationalError when PostgreSQL is away."""
    with connect("exchange verify") as connection:
        for name, value in SETTINGS.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        connection.autocommit = False
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        row = connection.execute("SELECT pg_export_snapshot(), now()").fetchone()
        assert row is not None
        name, taken_at = row
        yield Snapshot(connection, taken_at, _markets(name))


def _markets(snapshot_name: str) -> list[Market]:
    catalog.clear_cache()
    with transaction.atomic(), django.db.connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET TRANSACTION SNAPSHOT %s", [snapshot_name])
        markets = catalog.markets()
    catalog.clear_cache()
    return markets
