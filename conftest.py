"""Sets the tests up: services on free ports, Django's settings at them, tables emptied in between."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

from tests.services import Services

services = Services()
os.environ["DJANGO_SETTINGS_MODULE"] = "exchange.settings"

import django

django.setup()

from django.db.backends.postgresql.operations import DatabaseOperations


def pytest_collection_finish(session: pytest.Session) -> None:
    if not session.config.option.collectonly:
        services.start_for(item.path for item in session.items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Each process has services of its own: what we set for ours is not for the others to find."""
    for name in ("DJANGO_SETTINGS_MODULE", *services.stack.env):
        os.environ.pop(name, None)


def _empty_all_tables(
    self: DatabaseOperations, style: Any, tables: Iterable[str], **options: Any
) -> list[str]:
    """SQL for Django's flush after a test with real transactions: every table, also those without a model.

    Append-only tables refuse TRUNCATE by triggers, which are off in the role of a replica.
    """
    return [
        "SET LOCAL session_replication_role = replica",
        """
        DO $$ DECLARE names text; BEGIN
            SELECT string_agg(oid::regclass::text, ', ') INTO names FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
              AND relname <> 'django_migrations';
            EXECUTE 'TRUNCATE ' || names || ' RESTART IDENTITY CASCADE';
        END $$
        """,
    ]


DatabaseOperations.sql_flush = _empty_all_tables  # type: ignore[method-assign, assignment]
