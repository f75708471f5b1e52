"""What must never break, attacked past the services with plain SQL: the database itself refuses.

What it cannot refuse (a superuser with the triggers off) `verify` names: see `test_verify.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import errors
from pytest_django import DjangoDbBlocker

from exchange.base import ids
from exchange.base.database import own_connection, transaction
from exchange.base.ids import uuid7
from matching.codec import encode
from tests.market import GROUP, Desk, lasting_desk, sql
from trading.models import Account, Order

APPEND_ONLY = ["trading_posting", "trading_trade", "trading_transaction"]
PARTITIONED = [*APPEND_ONLY, "trading_order"]


class Market(NamedTuple):
    desk: Desk
    alice: str
    bob: str
    usdt: int  # alice's account, 898 available and 100 held
    btc: int  # bob's, 8 available and 1 held
    custody: int  # of USDT
    trade: str
    open: str  # alice's order, holding 100 USDT
    closed: str  # her filled one


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Desk]:
    """In place of the one that rolls back: all tests here share what is committed."""
    with lasting_desk(django_db_blocker) as desk:
        yield desk


@pytest.fixture(scope="module")
def market(db: Desk) -> Market:
    desk = db
    alice, bob = desk.user(USDT="1000", BTC="1"), desk.user(BTC="10", USDT="1")
    desk.trade(bob, "SELL", "1", "2")
    closed = desk.trade(alice, "BUY", "1", "2")
    opened = desk.trade(alice, "BUY", "1", "100")
    desk.trade(bob, "SELL", "1", "200")

    def account(**which: Any) -> int:
        return Account.objects.get(**which).pk

    ((trade,),) = sql("SELECT id::text FROM trading_trade")
    return Market(
        desk,
        alice,
        bob,
        account(user_id=alice, asset__code="USDT"),
        account(user_id=bob, asset__code="BTC"),
        account(kind="CUSTODY", asset__code="USDT"),
        trade,
        opened,
        closed,
    )


def commit(*statements: tuple[Any, ...]) -> None:
    """In one transaction; each statement with its values."""
    with transaction(own_connection()) as tx:
        for statement, *values in statements:
            tx.queue(statement, values)
            tx.flush()


def refused(error: type[psycopg.Error], match: str | None, *statements: tuple[Any, ...]) -> None:
    """One of the statements, or their commit."""
    with pytest.raises(error, match=match):
        _attempt(statements)


def _attempt(statements: Iterable[tuple[Any, ...]]) -> None:
    """All that a commit does but for the commit itself."""
    connection = own_connection()
    connection.execute("BEGIN")
    try:
        for statement, *values in statements:
            connection.execute(statement, values)
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    finally:
        connection.execute("ROLLBACK")


def leaves(table: str) -> list[str]:
    """The partitions that have rows."""
    return [name for (name,) in sql(f"SELECT DISTINCT tableoid::regclass::text FROM {table}")]


def all_partitions(table: str) -> list[str]:
    return [
        name for (name,) in sql("SELECT relid::regclass::text FROM pg_partition_tree(%s) WHERE isleaf", table)
    ]


# Postings: what a transaction takes, another account gets

NEW_TRANSACTION = """INSERT INTO trading_transaction (id, kind, trace_id, created_at)
                     VALUES (%s, 'DEPOSIT', '', now())"""
NEW_POSTING = """INSERT INTO {table} (id, transaction_id, account_id, asset_id, amount)
                 SELECT %s, %s, id, asset_id, %s FROM trading_account WHERE id = %s"""
RAW_POSTING = """INSERT INTO trading_posting (id, transaction_id, account_id, asset_id, amount)
                 VALUES (%s, %s, %s, %s, %s)"""


def postings(
    *legs: tuple[int, str], table: str = "trading_posting", of: str | None = None
) -> list[tuple[Any, ...]]:
    """The statements of one transaction: (account, amount) each by a statement of its own."""
    transaction_id = of or uuid7()
    first = 7 if of else 1
    return [
        *([] if of else [(NEW_TRANSACTION, transaction_id)]),
        *(
            (
                NEW_POSTING.format(table=table),
                ids.part(transaction_id, ordinal),
                transaction_id,
                amount,
                account,
            )
            for ordinal, (account, amount) in enumerate(legs, first)
        ),
    ]


def test_unbalanced_postings_are_refused_when_the_transaction_commits(market: Market) -> None:
    connection = own_connection()
    before = sql("SELECT count(*), sum(available) FROM trading_posting, trading_account")
    connection.execute("BEGIN")
    for statement, *values in postings((market.usdt, "5"), (market.custody, "-4")):
        connection.execute(statement, values)
    with pytest.raises(errors.CheckViolation, match=r"sum to 1\.0+ in asset") as error:
        connection.execute("COMMIT")
    assert error.value.diag.constraint_name == "postings_balance"
    assert sql("SELECT count(*), sum(available) FROM trading_posting, trading_account") == before


def test_postings_may_be_balanced_by_a_later_statement(market: Market) -> None:
    before = Account.objects.get(pk=market.usdt)
    commit(*postings((market.usdt, "5"), (market.custody, "-5")))
    after = Account.objects.get(pk=market.usdt)
    assert (after.available - before.available, after.held) == (5, before.held)
    commit(*postings((market.usdt, "-5"), (market.custody, "5")))
    assert Account.objects.get(pk=market.usdt).available == before.available


def test_a_balance_in_one_asset_does_not_make_up_for_another(market: Market) -> None:
    refused(errors.CheckViolation, "sum to", *postings((market.usdt, "-1"), (market.btc, "1")))


def test_a_leg_added_to_an_old_transaction_is_refused(market: Market) -> None:
    refused(errors.CheckViolation, "sum to", *postings((market.usdt, "1"), of=market.trade))


def test_a_posting_in_another_asset_than_its_account_is_refused(market: Market) -> None:
    transaction_id, btc = uuid7(), market.desk.assets["BTC"].pk
    legs = [
        (RAW_POSTING, ids.part(transaction_id, 1), transaction_id, market.usdt, btc, 1),
        (RAW_POSTING, ids.part(transaction_id, 2), transaction_id, market.btc, btc, -1),
    ]
    refused(errors.CheckViolation, "in another asset than its account", *legs)


def test_a_posting_to_no_account_is_refused(market: Market) -> None:
    transaction_id, usdt = uuid7(), market.desk.assets["USDT"].pk
    legs = [
        (RAW_POSTING, ids.part(transaction_id, 1), transaction_id, 10**9, usdt, 1),
        (RAW_POSTING, ids.part(transaction_id, 2), transaction_id, 10**9 + 1, usdt, -1),
    ]
    refused(errors.ForeignKeyViolation, "account that does not exist", *legs)


def test_a_posting_must_be_found_by_its_transaction(market: Market) -> None:
    usdt = market.desk.assets["USDT"].pk
    refused(
        errors.CheckViolation,
        "posting_id_follows_transaction",
        (RAW_POSTING, uuid7(), uuid7(), market.usdt, usdt, 1),
    )


def test_a_posting_put_into_a_partition_is_guarded_too(market: Market) -> None:
    (partition,) = leaves("trading_posting")
    refused(errors.CheckViolation, "sum to", *postings((market.usdt, "5"), table=partition))
    refused(
        errors.CheckViolation,
        "account_available_not_negative",
        *postings((market.usdt, "-5000"), (market.custody, "5000"), table=partition),
    )
    before = Account.objects.get(pk=market.usdt).available
    commit(*postings((market.usdt, "-7"), (market.custody, "7"), table=partition))
    assert Account.objects.get(pk=market.usdt).available == before - 7
    commit(*postings((market.usdt, "7"), (market.custody, "-7"), table=partition))


# Balances are derived, and never negative


@pytest.mark.parametrize(
    "change", ["available = available + 1", "held = held + 1", "available = 0, held = 0", "asset_id = 1"]
)
def test_balances_cannot_be_written(market: Market, change: str) -> None:
    refused(
        errors.RestrictViolation,
        "derived",
        (f"UPDATE trading_account SET {change} WHERE id = %s", market.usdt),
    )


def test_an_account_cannot_be_opened_with_a_balance(market: Market) -> None:
    statement = """INSERT INTO trading_account (kind, institution_id, asset_id, available, held)
                   VALUES ('FEES', %s, %s, 1, 0)"""
    refused(
        errors.RestrictViolation,
        "derived",
        (statement, market.desk.institution.pk, market.desk.assets["ETH"].pk),
    )


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM trading_account WHERE id = %s",
        "UPDATE trading_account SET kind = 'CUSTODY', user_id = NULL WHERE id = %s",
        "UPDATE trading_account SET id = id + 1000000 WHERE id = %s",
    ],
)
def test_an_account_can_neither_be_deleted_nor_become_another(market: Market, statement: str) -> None:
    refused(errors.RestrictViolation, None, (statement, market.usdt))


def test_more_than_there_is_cannot_be_spent(market: Market) -> None:
    spend = postings((market.usdt, "-899"), (market.custody, "899"))
    refused(errors.CheckViolation, "account_available_not_negative", *spend)


def test_what_is_held_cannot_be_spent(market: Market) -> None:
    """898 are available and 100 held: 900 are there, and not for this."""
    spend = postings((market.usdt, "-900"), (market.custody, "900"))
    refused(errors.CheckViolation, "account_available_not_negative", *spend)


def test_a_movement_of_money_cannot_be_made_by_hand(market: Market) -> None:
    refused(
        errors.RestrictViolation,
        None,
        (
            "INSERT INTO ledger_movement (account_ids, available_changes, held_changes)"
            " VALUES (%s, '{1000}', '{0}')",
            [market.usdt],
        ),
    )


# Holds


def test_holds_move_funds_from_available_to_held_and_back(market: Market) -> None:
    account = Account.objects.get(pk=market.usdt)
    for table in ["trading_order", *leaves("trading_order")]:
        commit((f"UPDATE {table} SET held = held + 10 WHERE id = %s", market.open))
        now = Account.objects.get(pk=market.usdt)
        assert (now.available, now.held) == (account.available - 10, account.held + 10)
        commit((f"UPDATE {table} SET held = held - 10 WHERE id = %s", market.open))
        now = Account.objects.get(pk=market.usdt)
        assert (now.available, now.held) == (account.available, account.held)


def test_a_hold_without_funds_is_refused(market: Market) -> None:
    for table in ["trading_order", *leaves("trading_order")]:
        statement = f"UPDATE {table} SET held = held + 899 WHERE id = %s"
        refused(errors.CheckViolation, "account_available_not_negative", (statement, market.open))


def test_an_order_without_funds_is_refused(market: Market) -> None:
    columns = ", ".join(
        str(field.column) for field in Order._meta.local_fields if field.name not in ("id", "held")
    )
    for table in ["trading_order", *leaves("trading_order")]:
        statement = f"""INSERT INTO {table} (id, held, {columns}) SELECT %s, 899, {columns} FROM trading_order
                         WHERE id = %s"""
        refused(errors.CheckViolation, "account_available_not_negative", (statement, uuid7(), market.open))


def test_an_amendment_without_funds_is_refused(market: Market) -> None:
    refused(errors.CheckViolation, "account_available_not_negative", amendment(market, held=899))


def test_an_amendment_returns_what_it_held_when_it_goes(market: Market) -> None:
    account = Account.objects.get(pk=market.usdt)
    commit(amendment(market, held=50))
    now = Account.objects.get(pk=market.usdt)
    assert (now.available, now.held) == (account.available - 50, account.held + 50)
    commit(("DELETE FROM trading_pendingcommand",))
    now = Account.objects.get(pk=market.usdt)
    assert (now.available, now.held) == (account.available, account.held)


def test_a_hold_goes_along_to_another_account(market: Market) -> None:
    """The order is given bob's account, where it may not hold what is not there."""
    bobs = Account.objects.get(user_id=market.bob, asset__code="USDT").pk
    statement = "UPDATE trading_order SET hold_account_id = %s WHERE id = %s"
    refused(errors.CheckViolation, "account_available_not_negative", (statement, bobs, market.open))


def test_what_a_transaction_moves_cannot_be_taken_back_on_the_way(market: Market) -> None:
    refused(
        errors.RestrictViolation,
        None,
        ("UPDATE trading_order SET held = held + 10 WHERE id = %s", market.open),
        ("DELETE FROM ledger_movement",),
    )


def test_a_negative_hold_is_refused(market: Market) -> None:
    statement = "UPDATE trading_order SET held = -1 WHERE id = %s"
    refused(errors.CheckViolation, "order_closed_holds_nothing", (statement, market.open))


def test_a_closed_order_holds_nothing(market: Market) -> None:
    statement = "UPDATE trading_order SET closed_at = now(), status = 'CANCELLED' WHERE id = %s"
    refused(errors.CheckViolation, "order_closed_holds_nothing", (statement, market.open))


def amendment(market: Market, *, held: int = 0) -> tuple[Any, ...]:
    statement = """INSERT INTO trading_pendingcommand
                   (id, "group", order_id, kind, envelope, hold_account_id, held, created_at)
                   VALUES (%s, %s, %s, 'Amend', '', %s, %s, now())"""
    return (statement, uuid7(), GROUP, market.open, market.usdt, held)


# What was written stays


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_ledger_and_trades_are_append_only(market: Market, table: str) -> None:
    for name in [table, *leaves(table)]:
        refused(errors.RestrictViolation, "append-only: UPDATE", (f"UPDATE {name} SET id = id",))
        refused(errors.RestrictViolation, "append-only: DELETE", (f"DELETE FROM {name}",))


@pytest.mark.parametrize("table", [*PARTITIONED, "trading_pendingcommand"])
def test_no_table_can_be_emptied(market: Market, table: str) -> None:
    partitions = all_partitions(table) if table in PARTITIONED else []
    assert len(partitions) != 1, "partitions are made ahead"
    for name in [table, *partitions]:
        refused(errors.RestrictViolation, "append-only: TRUNCATE", (f"TRUNCATE {name}",))


def test_the_journal_is_append_only(market: Market) -> None:
    refused(
        errors.RestrictViolation, "append-only: UPDATE", ("UPDATE matching_journalbatch SET epoch = epoch",)
    )
    refused(errors.RestrictViolation, "append-only: DELETE", ("DELETE FROM matching_journalbatch",))
    refused(errors.RestrictViolation, "append-only: TRUNCATE", ("TRUNCATE matching_journalbatch",))


def test_an_order_is_never_deleted(market: Market) -> None:
    for name in ["trading_order", *leaves("trading_order")]:
        statement = f"DELETE FROM {name} WHERE id = %s"
        refused(errors.RestrictViolation, "append-only: DELETE", (statement, market.open))


def test_a_closed_order_never_changes(market: Market) -> None:
    for name in ["trading_order", *leaves("trading_order")]:
        for change in ("closed_at = NULL", "status = 'OPEN'", "fee = 0", "trace_id = ''"):
            statement = f"UPDATE {name} SET {change} WHERE id = %s"
            refused(errors.RestrictViolation, "closed and cannot change", (statement, market.closed))


# A command takes effect once


@pytest.mark.parametrize(
    "change",
    [
        "filled_quantity = 1.5",
        "filled_quantity = 1",
        "remaining_quantity = 1.5",
        "quantity = 0.5",
        "remaining_quantity = -1",
    ],
)
def test_an_order_is_never_filled_beyond_its_quantity(market: Market, change: str) -> None:
    """1 is asked for, and 1 remains."""
    for name in ["trading_order", *leaves("trading_order")]:
        statement = f"UPDATE {name} SET {change} WHERE id = %s"
        refused(errors.CheckViolation, "order_never_overfilled", (statement, market.open))


@pytest.mark.parametrize(
    ("first", "last", "epoch"),
    [(6, 6, 1), (4, 4, 1), (1, 1, 1), (4, 5, 1), (5, 5, 0)],
    ids=["a gap", "the last again", "the first again", "an overlap", "an older epoch"],
)
def test_the_journal_goes_on_without_a_gap_and_never_from_an_older_epoch(
    market: Market, first: int, last: int, epoch: int
) -> None:
    refused(errors.CheckViolation, "does not follow sequence 4", journal(first, last, epoch))


def test_the_journal_goes_on_from_a_newer_epoch(market: Market) -> None:
    connection = own_connection()
    connection.execute("BEGIN")
    statement, *values = journal(5, 5, 9)
    connection.execute(statement, values)
    connection.execute("ROLLBACK")


def test_a_journal_batch_is_not_empty(market: Market) -> None:
    refused(errors.CheckViolation, "journal_range_not_empty", journal(5, 4, 1))


def journal(first: int, last: int, epoch: int) -> tuple[Any, ...]:
    statement = """INSERT INTO matching_journalbatch
                   (group_id, epoch, first_sequence, last_sequence, commands, created_at)
                   VALUES (%s, %s, %s, %s, %s, now())"""
    return (statement, GROUP, epoch, first, last, encode([]))


def test_a_client_order_id_is_used_once(market: Market) -> None:
    name = market.desk.order(market.open).client_order_id
    statement = """INSERT INTO trading_clientorder (user_id, client_order_id, order_id, fingerprint)
                   VALUES (%s, %s, %s, 1)"""
    refused(errors.UniqueViolation, "client_order_id", (statement, market.alice, name, uuid7()))


def test_an_order_has_one_amendment_at_a_time(market: Market) -> None:
    refused(errors.UniqueViolation, "one_amendment_at_a_time", amendment(market), amendment(market))


def test_a_trade_number_is_used_once_in_a_partition(market: Market) -> None:
    statement = """INSERT INTO trading_trade
                   SELECT (jsonb_populate_record(t, jsonb_build_object('id', %s::text))).*
                     FROM trading_trade t WHERE id = %s"""
    refused(errors.UniqueViolation, "instrument_id, number", (statement, uuid7(), market.trade))
