"""Partitions on a real database: made ahead, used by what is inserted, and never in the way of an insert."""

from __future__ import annotations

import pytest
from django.db import connection

from exchange.base import ids, partitions
from exchange.base.partitions import AHEAD
from trading.models import Order, Transaction
from trading.models.partitions import TABLES

pytestmark = pytest.mark.django_db(transaction=True)

TABLE = next(table for table in TABLES if table.table == "trading_transaction")


@pytest.fixture
def no_partitions() -> None:
    """Only the default partition, as after the first migration."""
    with connection.cursor() as cursor:
        for name in partitions._existing(TABLE.table) - {f"{TABLE.table}_default"}:
            cursor.execute(f"DROP TABLE {name}")


def where(transaction: Transaction) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tableoid::regclass::text FROM {TABLE.table} WHERE id = %s", [transaction.pk])
        return str(cursor.fetchone()[0])


@pytest.mark.usefixtures("no_partitions")
def test_partitions_are_made_once_and_take_the_rows_of_their_time() -> None:
    created = partitions.ensure([TABLE])
    assert len(created) == 1 + AHEAD["month"]
    assert partitions.ensure([TABLE]) == []
    made = Transaction.objects.create(kind=Transaction.Kind.DEPOSIT)
    assert where(made) == f"{TABLE.table}_{ids.moment(made.pk):%Y_%m}"
    assert partitions.misplaced([TABLE]) == {}


@pytest.mark.usefixtures("no_partitions")
def test_a_dry_run_says_what_it_would_make_and_makes_nothing() -> None:
    would = partitions.ensure([TABLE], dry_run=True)
    assert would
    assert partitions.ensure([TABLE]) == would


@pytest.mark.usefixtures("no_partitions")
def test_rows_without_a_partition_are_kept_and_do_not_block_the_coming_ones() -> None:
    made = Transaction.objects.create(kind=Transaction.Kind.DEPOSIT)
    assert where(made) == f"{TABLE.table}_default"
    created = partitions.ensure([TABLE])
    assert len(created) == AHEAD["month"]
    assert partitions.misplaced([TABLE]) == {TABLE.table: 1}


def test_a_new_partition_has_the_indexes_of_its_table() -> None:
    orders = next(table for table in TABLES if table.table == "trading_order")
    made = partitions.ensure([orders], ahead=AHEAD["month"] + 1)[-1]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT parent.relname FROM pg_index own JOIN pg_inherits ON inhrelid = own.indexrelid"
            " JOIN pg_class parent ON parent.oid = inhparent WHERE own.indrelid = %s::regclass",
            [made],
        )
        assert {index.name for index in Order._meta.indexes} <= {name for (name,) in cursor.fetchall()}
        cursor.execute(f"DROP TABLE {made}")
