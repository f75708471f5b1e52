"""Sets the tests up: services on free ports, Django's settings at them, tables emptied in between."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.services import Services

services = Services()
os.environ["DJANGO_SETTINGS_MODULE"] = "exchange.settings"

import django

django.setup()

from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core.management import call_command
from django.db.backends.postgresql.operations import DatabaseOperations
from django.test import TransactionTestCase
from django.utils import translation


@pytest.fixture(autouse=True)
def _own_language() -> Iterator[None]:
    """Whoever asked for a page in Turkish leaves the thread so."""
    yield
    translation.deactivate()


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
    tenth of the time in which a hundred tables and their partitions are truncated. What `migrate` itself has written
    is kept: to write it anew takes longer than most tests.
    """
    return [
        "SET LOCAL session_replication_role = replica",
        """
        DO $$ DECLARE
            kept constant text[] := ARRAY['django_migrations', 'django_content_type', 'auth_permission'];
            name text;
        BEGIN
            FOR name IN SELECT oid::regclass::text FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
                  AND relname <> ALL (kept)
            LOOP
                EXECUTE 'DELETE FROM ' || name;
            END LOOP;
            PERFORM setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
               FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL
                AND replace(sequencename, '_id_seq', '') <> ALL (kept);
        END $$
        """,
    ]


def _empty(self: TransactionTestCase) -> None:
    call_command("flush", verbosity=0, interactive=False, reset_sequences=False, inhibit_post_migrate=True)


DatabaseOperations.sql_flush = _empty_all_tables  # type: ignore[method-assign, assignment]
TransactionTestCase._fixture_teardown = _empty  # type: ignore[attr-defined]
PBKDF2PasswordHasher.iterations = 1  # here alone: a running exchange takes what Django says
