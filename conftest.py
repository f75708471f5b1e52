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

    Append-only tables refuse it by triggers, which are off in the role of a replica. A few rows are deleted in a
    tenth of the time in which a hundred tables and their partitions are truncated.
    """
    return [
        "SET LOCAL session_replication_role = replica",
        """
        DO $$ DECLARE name text; BEGIN
            FOR name IN SELECT oid::regclass::text FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
                  AND relname <> 'django_migrations'
            LOOP
                EXECUTE 'DELETE FROM ' || name;
            END LOOP;
            PERFORM setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
               FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL
                AND sequencename <> 'django_migrations_id_seq';
        END $$
        """,
    ]


DatabaseOperations.sql_flush = _empty_all_tables  # type: ignore[method-assign, assignment]
