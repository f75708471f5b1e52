"""`manage.py verify` on a busy market: clean as it is; whatever is broken is named, and nothing else.

Each case breaks something in a transaction, as a superuser with the triggers off, runs the checks in it, and
rolls back.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import django.db
import msgspec
import psycopg
import pytest
from django.core.management import CommandError, call_command
from pytest_django import DjangoDbBlocker

from exchange.base.database import connect
from exchange.base.ids import uuid7
from exchange.platform.approvals.requests import approve
from exchange.platform.members.models import Role, User
from matching.codec import Envelope, decode_envelopes, encode
from matching.core.commands import Cancel, Place
from matching.core.types import MarketStatus, SelfTradePrevention, TimeInForce
from tests.market import PATIENCE, Desk, lasting_desk, sql, unguarded
from tests.staff import staff
from trading.ledger import adjustments
from trading.models import Account, Adjustment, Trade
from trading.payments import decisions, requests
from trading.payments.requests import Wanted
from trading.reference.catalog import catalog
from trading.verify import guards, report
from trading.verify.replay import Replay
from trading.verify.snapshot import Snapshot

Names = dict[str, Any]


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Desk]:
    """In place of the one that rolls back: all tests here share what is committed."""
    with lasting_desk(django_db_blocker) as desk:
        yield desk


@pytest.fixture(scope="module")
def desk(db: Desk) -> Desk:
    return db


@pytest.fixture(scope="module")
def names(desk: Desk) -> Names:
    """A market in which everything has happened, and the ids by which the cases call things."""
    alice, bob = desk.user(USDT="100000", BTC="10"), desk.user(USDT="100000", BTC="10")
    sell = desk.trade(bob, "SELL", "1", "100")
    buy = desk.trade(alice, "BUY", "0.4", "101")
    desk.trade(alice, "BUY", "0.1")
    desk.trade(alice, "BUY", "0.2", "100", time_in_force=TimeInForce.FOK)
    cancelled = desk.trade(alice, "BUY", "1", "90")
    desk.match(desk.cancel(cancelled))
    resting = desk.trade(alice, "BUY", "2", "95")
    desk.trade(alice, "SELL", "0.5", "95", prevention=SelfTradePrevention.DECREMENT)
    stop = desk.trade(alice, "BUY", "1", stop="150")
    triggered = desk.trade(bob, "BUY", "1", "94", stop="93")
    desk.match(desk.trigger(triggered, "93"))
    desk.trade(bob, "SELL", "0.1", "90", post_only=True)
    desk.accept(desk.draft(bob, "SELL", "999", "100"))
    desk.match(desk.set_status(MarketStatus.HALTED))
    desk.match(desk.set_status(MarketStatus.TRADING))
    pending = desk.place(bob, "SELL", "0.3", "120").command.id
    amendment = desk.amend(resting, quantity="3").command.id
    carol, clerk = desk.user(USDT="1000"), staff(Role.INSTITUTION_ADMIN, desk.institution)
    asked, done, came = payments(desk, carol, clerk)
    names: Names = {
        "adjustment": adjusted(desk, carol, clerk),
        "asked": asked,
        "done": done,
        "came": came,
        "alice": alice,
        "bob": bob,
        "sell": sell,
        "buy": buy,
        "cancelled": cancelled,
        "resting": resting,
        "stop": stop,
        "pending": pending,
        "amendment": amendment,
        "instrument": desk.market.id,
        "btc": desk.assets["BTC"].pk,
        "usdt": desk.assets["USDT"].pk,
        "eth": desk.assets["ETH"].pk,
    }
    ((names["trade"],),) = sql("SELECT id::text FROM trading_trade WHERE number = 1")
    ((names["last_trade"],),) = sql("SELECT id::text FROM trading_trade ORDER BY number DESC LIMIT 1")
    ((names["deposit"],),) = sql("SELECT min(id::text) FROM trading_transaction WHERE kind = 'DEPOSIT'")
    for name, user in (("alice", alice), ("bob", bob)):
        for code in ("BTC", "USDT"):
            account = Account.objects.get(user_id=user, asset=desk.assets[code])
            names[f"{name}_{code.lower()}"] = account.pk
    names["carol_usdt"] = Account.objects.get(user_id=carol, asset=desk.assets["USDT"]).pk
    return names


def payments(desk: Desk, user: str, clerk: User) -> tuple[str, str, str]:
    """An open withdrawal of 100, one of 50 that is completed, a confirmed deposit of 5."""

    def wanted(amount: str, name: str) -> Wanted:
        return Wanted(user, desk.assets["USDT"], Decimal(amount), "somewhere", name)

    asked, _ = requests.withdraw(wanted("100", "asked"), trace_id="trace")
    done, _ = requests.withdraw(wanted("50", "done"), trace_id="trace")
    decisions.approve(done.pk, by=clerk, trace_id="trace")
    decisions.send(done.pk, by=clerk, reference="sent", trace_id="trace")
    decisions.complete(done.pk, by=clerk, trace_id="trace")
    came, _ = requests.deposit(wanted("5", "came"), trace_id="trace")
    decisions.confirm(came.pk, by=clerk, trace_id="trace")
    return str(asked.pk), str(done.pk), str(came.pk)


def adjusted(desk: Desk, user: str, clerk: User) -> str:
    """The transaction of an adjustment by 7, by two people."""
    wanted = adjustments.ask(
        user=User.objects.get(pk=user),
        asset=desk.assets["USDT"],
        amount=Decimal(7),
        reason="missing",
        by=clerk,
    )
    approve(wanted.pk, by=staff(Role.INSTITUTION_ADMIN, desk.institution), reason="seen")
    return str(Adjustment.objects.get(approval=wanted).transaction_id)


def broken(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """What is broken as `connection` sees it: first breach by rule."""
    connection.execute("SET LOCAL session_replication_role = origin")
    found = list(report.checks(_snapshot(connection), _silent))
    found += Replay(_snapshot(connection), _silent).run()
    return {finding.rule.name: str(finding.first) for finding in found if finding.breaches}


@contextmanager
def rolled_back() -> Iterator[psycopg.Connection[Any]]:
    """A superuser's transaction with the triggers off, of which nothing stays."""
    with connect("exchange test vandal") as connection:
        connection.execute("BEGIN")
        connection.execute("SET LOCAL session_replication_role = replica")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")


def _snapshot(connection: psycopg.Connection[Any]) -> Snapshot:
    row = connection.execute("SELECT now()").fetchone()
    assert row is not None
    return Snapshot(connection, row[0], catalog.markets())


def _silent(what: str) -> None:
    """The progress of `verify`, which is not looked at here."""


def test_a_busy_market_is_clean(names: Names) -> None:
    result = report.run(_silent, replay=True)
    assert {finding.rule.name: finding.first for finding in result.findings if finding.breaches} == {}
    counts = {finding.rule.name: finding.count for finding in result.findings}
    assert counts["trade_numbers"] == counts["replay_trades"] == counts["trade_events"] == 3
    assert counts["journal_commands"] == result.commands == 14
    assert counts["replay_books"] == 1
    untouched = {name for name, count in counts.items() if not count}
    outside = {"reservations_of_orders", "releases_of_orders", "reservation_references"}  # see test_wallet.py
    days = {
        "closed_days",
        "closing_balances",
        "days_follow",
        "solvencyleaf_references",
    }  # see test_end_of_day.py
    sealed = {"ledger_chain"}  # see test_audit.py
    assert untouched <= {"nothing_left_behind", *outside, *days, *sealed}, (
        "the market must give every rule something to look at"
    )


@dataclass(frozen=True)
class Case:
    """`breaks` names the rules and what the first breach of each must say; what is not named must hold."""

    what: str
    statements: list[str]
    breaks: dict[str, str]


CASES = [
    Case(
        "a posting was changed",
        [
            "UPDATE trading_posting SET amount = amount + 1"
            " WHERE transaction_id = '{deposit}' AND account_id = {alice_usdt}"
        ],
        {
            "postings_balance": "transaction {deposit}: postings in USDT sum to 1",
            "balances_derived": "account {alice_usdt}: ",
        },
    ),
    Case(
        "a posting is in another asset",
        [
            "UPDATE trading_posting SET asset_id = {btc}"
            " WHERE transaction_id = '{deposit}' AND account_id = {alice_usdt}"
        ],
        {
            "postings_balance": "transaction {deposit}: ",
            "posting_assets": "in asset {btc} on account {alice_usdt}",
        },
    ),
    Case(
        "a balance was raised",
        ["UPDATE trading_account SET available = available + 5 WHERE id = {alice_usdt}"],
        {"balances_derived": "account {alice_usdt}: "},
    ),
    Case(
        "held was moved to available",
        ["UPDATE trading_account SET available = available + 1, held = held - 1 WHERE id = {alice_usdt}"],
        {"holds_of_accounts": "account {alice_usdt}: "},
    ),
    Case(
        "custody holds",
        [
            "UPDATE trading_account SET available = available - 1, held = held + 1"
            " WHERE kind = 'CUSTODY' AND asset_id = {btc}"
        ],
        {
            "holds_of_accounts": "held 1, orders, amendments and withdrawals hold 0",
            "balances_not_negative": "(CUSTODY)",
        },
    ),
    Case(
        "a balance is negative",
        [
            "ALTER TABLE trading_account DROP CONSTRAINT account_available_not_negative",
            "UPDATE trading_account SET available = available - 1000000 WHERE id = {bob_usdt}",
        ],
        {
            "check_constraints": "trading_account: constraint account_available_not_negative is missing",
            "balances_not_negative": "account {bob_usdt} (USER): available -9",
            "balances_derived": "account {bob_usdt}: ",
        },
    ),
    Case(
        "an order holds too little",
        ["UPDATE trading_order SET held = held - 1 WHERE id = '{resting}'"],
        {
            "holds_of_orders": "order {resting} (BUY OPEN): holds 141.5, must hold 142.5",
            "holds_of_accounts": "account {alice_usdt}: ",
        },
    ),
    Case(
        "an amendment got lost with its hold",
        ["DELETE FROM trading_pendingcommand WHERE id = '{amendment}'"],
        {"holds_of_accounts": "account {alice_usdt}: "},
    ),
    Case(
        "a withdrawal holds too little",
        [
            "ALTER TABLE trading_withdrawal DROP CONSTRAINT withdrawal_holds_until_closed",
            "UPDATE trading_withdrawal SET held = held - 1 WHERE id = '{asked}'",
        ],
        {
            "check_constraints": "trading_withdrawal: constraint withdrawal_holds_until_closed is missing",
            "holds_of_withdrawals": "withdrawal {asked} (REQUESTED): holds 99, must hold 100",
            "holds_of_accounts": "account {carol_usdt}: held 100, orders, amendments and withdrawals hold 99",
        },
    ),
    Case(
        "a withdrawal was cancelled and its hold kept",
        [
            "UPDATE trading_withdrawal SET state = 'CANCELLED', held = 0, closed_at = now() WHERE id = '{asked}'",
        ],
        {"holds_of_accounts": "account {carol_usdt}: held 100, orders, amendments and withdrawals hold 0"},
    ),
    Case(
        "a withdrawal was deleted after it was paid",
        ["DELETE FROM trading_withdrawal WHERE id = '{done}'"],
        {"withdrawals_asked_for": "no completed withdrawal is booked by it"},
    ),
    Case(
        "a withdrawal says another amount than was booked",
        ["UPDATE trading_withdrawal SET amount = amount - 1 WHERE id = '{done}'"],
        {"payments_booked": "WITHDRAWAL {done}: -49, the ledger has -50"},
    ),
    Case(
        "a deposit is confirmed by a transaction of another",
        ["UPDATE trading_deposit SET transaction_id = '{deposit}' WHERE id = '{came}'"],
        {"payments_booked": "DEPOSIT {came}: 5, the ledger has nothing"},
    ),
    Case(
        "an adjustment was rejected after all",
        ["UPDATE approvals_approval SET state = 'REJECTED'"],
        {"adjustments_approved": "transaction {adjustment}: nobody has approved it"},
    ),
    Case(
        "an adjustment was approved after it had run out",
        ["UPDATE approvals_approval SET decided_at = expires_at + interval '1 day'"],
        {"approvals_by_another": "(ADJUSTMENT): asked for by "},
    ),
    Case(
        "another amount was approved than is booked",
        ['UPDATE approvals_approval SET payload = payload || \'{{"amount": "70"}}\''],
        {"adjustments_approved": "transaction {adjustment}: 70 was approved, 7 is booked"},
    ),
    Case(
        "an adjustment names another transaction",
        ["UPDATE trading_adjustment SET transaction_id = '{trade}'"],
        {
            "adjustments_approved": "transaction {adjustment}: nobody has approved it",
            "adjustments_booked": "transaction {trade} is not in the ledger",
        },
    ),
    Case(
        "a movement was left behind",
        [
            "INSERT INTO ledger_movement (account_ids, available_changes, held_changes)"
            " VALUES ('{{1}}', '{{1}}', '{{0}}')"
        ],
        {"nothing_left_behind": "on accounts {{1}}"},
    ),
    Case(
        "an order pays from another user's account",
        ["UPDATE trading_order SET hold_account_id = {alice_btc} WHERE id = '{pending}'"],
        {
            "hold_accounts": "order {pending} (SELL BTC/USDT): pays from account {alice_btc}",
            "holds_of_accounts": "account ",
        },
    ),
    Case(
        "an order is filled further than its trades",
        ["UPDATE trading_order SET filled_notional = filled_notional + 1 WHERE id = '{buy}'"],
        {"fills_of_orders": "order {buy}: filled 0.4 for 41, fee 0.0008; its trades say 0.4 for 40"},
    ),
    Case(
        "an order is over-filled",
        [
            "ALTER TABLE trading_order DROP CONSTRAINT order_never_overfilled",
            "UPDATE trading_order SET quantity = 0.3 WHERE id = '{buy}'",
        ],
        {
            "check_constraints": "trading_order: constraint order_never_overfilled is missing",
            "order_quantities": "order {buy}: quantity 0.3, filled 0.4, remaining 0",
            "order_statuses": "order {buy}: LIMIT FILLED, filled 0.4 of 0.3",
        },
    ),
    Case(
        "a price is between two ticks",
        ["UPDATE trading_order SET price = 120.005 WHERE id = '{pending}'"],
        {"order_steps": "order {pending}: price 120.005, quantity 0.3"},
    ),
    Case(
        "a closed order was opened again",
        ["UPDATE trading_order SET closed_at = NULL WHERE id = '{buy}'"],
        {"order_statuses": "order {buy}: LIMIT FILLED"},
    ),
    Case(
        "a cancelled order is said to be open",
        ["UPDATE trading_order SET status = 'OPEN', closed_at = NULL, held = 90 WHERE id = '{cancelled}'"],
        {
            "holds_of_accounts": "account {alice_usdt}: ",
            "order_events": "order {cancelled}: OPEN, filled 0, remaining 1; event ",
            "replay_books": "BTC/USDT: bids, place 3: expected nothing, found ",
        },
    ),
    Case(
        "two orders have a number",
        [
            "UPDATE trading_order SET number = (SELECT number FROM trading_order WHERE id = '{buy}')"
            " WHERE id = '{sell}'"
        ],
        {"order_numbers": "2 orders, the first {sell}"},
    ),
    Case(
        "a client order id was forgotten",
        ["DELETE FROM trading_clientorder WHERE order_id = '{buy}'"],
        {"client_orders": "order {buy}: its client order id "},
    ),
    Case(
        "a client order id has no order",
        ["INSERT INTO trading_clientorder VALUES ('again', '{stop}', 1, '{alice}')"],
        {"client_orders": "client order id again of user {alice}: order {stop} is not there, or has another"},
    ),
    Case(
        "a trade is missing",
        ["DELETE FROM trading_trade WHERE id = '{trade}'"],
        {
            "trade_numbers": "BTC/USDT number 2 comes after 0",
            "fills_of_orders": "its trades say ",
            "trade_transactions": "transaction {trade}: of a trade that is not there",
            "trade_events": "trade {trade}: an event tells of it, and it is not there",
            "replay_trades": "BTC/USDT expected trade 1: BUY 4000 lots at 10000 ticks, "
            "maker {sell}, taker {buy}; found trade 2",
        },
    ),
    Case(
        "two trades have a number",
        [
            "DROP INDEX {number_index}",
            "UPDATE trading_trade SET number = 2 WHERE number = 3",
        ],
        {
            "trade_numbers": "BTC/USDT number 2 comes after 2",
            "trade_indexes": "no unique index on instrument and number",
            "replay_trades": "expected trade 3",
        },
    ),
    Case(
        "a trade has another price",
        ["UPDATE trading_trade SET price = 99 WHERE id = '{trade}'"],
        {
            "fills_of_orders": "order {sell}: filled 0.7 for 70, fee 0.07; its trades say 0.7 for 69.6",
            "trade_fees": "trade {trade}: a fee of 0.04 on 39.6 at 1000 millionths",
            "trade_postings": "trade {trade}: 6 postings, due are 6; missing or wrong: what the buyer pays,"
            " what the seller receives",
            "trade_events": "trade {trade}: 0.4 at 99; 1 events tell of it, 0.4 at 100",
            "replay_trades": "sequence 2, Place {buy}: BTC/USDT expected trade 1: ",
        },
    ),
    Case(
        "a trade is somebody else's",
        ["UPDATE trading_trade SET buyer_id = seller_id WHERE id = '{trade}'"],
        {"trade_orders": "trade {trade}: {buy} is no buy order of user {bob} there"},
    ),
    Case(
        "a trade's money went elsewhere",
        [
            "UPDATE trading_posting SET account_id = {alice_usdt}"
            " WHERE transaction_id = '{trade}' AND account_id = {bob_usdt}"
        ],
        {
            "trade_postings": "trade {trade}: 6 postings, due are 6; missing or wrong: what the seller ",
            "balances_derived": "account ",
        },
    ),
    Case(
        "a trade never reached the ledger",
        [
            "DELETE FROM trading_transaction WHERE id = '{trade}'",
            "DELETE FROM trading_posting WHERE transaction_id = '{trade}'",
        ],
        {
            "trade_transactions": "trade {trade}: has no ledger transaction",
            "trade_postings": "trade {trade}: 0 postings, due are 6",
            "balances_derived": "account ",
        },
    ),
    Case(
        "an account is gone",
        ["DELETE FROM trading_account WHERE kind = 'FEES' AND asset_id = {btc}"],
        {
            "posting_references": "account {fees_btc} is not there",
            "trade_postings": "missing or wrong: the fee of the buyer",
            "replay_books": "BTC/USDT: ",
        },
    ),
    Case(
        "an order's user is gone",
        ["UPDATE trading_order SET user_id = '{deposit}' WHERE id = '{cancelled}'"],
        {
            "order_references": "order {cancelled}: user {deposit} is not there",
            "hold_accounts": "order {cancelled} ",
            "client_orders": "client order id ",
        },
    ),
    Case(
        "an event was lost",
        [
            "DELETE FROM events_outboxevent WHERE id ="
            " (SELECT max(id) FROM events_outboxevent WHERE message LIKE '%{cancelled}%')"
        ],
        {"order_events": "order {cancelled}: CANCELLED, filled 0, remaining 1; event "},
    ),
    Case(
        "a trade was told twice",
        [
            "INSERT INTO events_outboxevent (topic, key, message) SELECT topic, key, message"
            " FROM events_outboxevent WHERE topic = 'trade.events' AND message LIKE '%{trade}%'"
        ],
        {"trade_events": "trade {trade}: 0.4 at 100; 2 events tell of it"},
    ),
    Case(
        "the journal has a gap",
        ["DELETE FROM matching_journalbatch WHERE first_sequence = 2"],
        {
            "journal_sequence": "group alpha: batch 3 (3 to 3, epoch 1) comes after sequence 1, epoch 1",
            "journal_orders": "orders are matched, the journal places",
            "replay_trades": "sequence 3, Place ",
        },
    ),
    Case(
        "the checkpoint is behind",
        ["UPDATE matching_checkpoint SET sequence = sequence - 1"],
        {"checkpoints": "group alpha: checkpoint at 13, epoch 1; journal at 14, epoch 1"},
    ),
    Case(
        "an epoch went back",
        ["UPDATE matching_journalbatch SET epoch = 9 WHERE first_sequence = 1"],
        {"journal_sequence": "comes after sequence 1, epoch 9", "checkpoints": "journal at 14, epoch 9"},
    ),
    Case(
        "the book is crossed",
        ["UPDATE trading_order SET price = 130, held = 195 WHERE id = '{resting}'"],
        {
            "holds_of_accounts": "account {alice_usdt}: ",
            "books": "BTC/USDT: crossed: bid 13000, ask 10000",
            "replay_books": "BTC/USDT: bids, place 1: expected ",
        },
    ),
    Case(
        "an order jumped the queue",
        ["UPDATE trading_order SET priority = 1 WHERE id = '{resting}'"],
        {"books": "a priority twice", "replay_books": "BTC/USDT: bids, place 1: expected "},
    ),
    Case(
        "an instrument is of no use",
        [
            "INSERT INTO trading_instrument (symbol, base_id, quote_id, tick_size, lot_size, min_quantity,"
            " max_quantity, min_notional, collar, status, market_symbol, trigger_source) VALUES"
            " ('ETH/USDT', {eth}, {usdt}, 0.0001, 0.0001, 1, 1, 1, 0.05, 'TRADING', '', 'LAST_TRADE')"
        ],
        {"books": "ETH/USDT: no market can be made of what is said of it"},
    ),
    Case(
        "commits are not waited for",
        ["SET LOCAL synchronous_commit = off"],
        {"settings": "synchronous_commit is off here"},
    ),
    Case(
        "a trigger is off in a partition",
        ["ALTER TABLE {order_partition} DISABLE TRIGGER holds_updated"],
        {"triggers": "{order_partition}: trigger holds_updated is disabled"},
    ),
    Case(
        "a trigger is gone",
        ["DROP TRIGGER journal_guard ON matching_journalbatch"],
        {"triggers": "matching_journalbatch: trigger journal_guard is missing"},
    ),
    Case(
        "a constraint is not enforced",
        [
            "ALTER TABLE trading_account DROP CONSTRAINT account_held_not_negative",
            "ALTER TABLE trading_account ADD CONSTRAINT account_held_not_negative"
            " CHECK (held >= 0) NOT ENFORCED",
        ],
        {"check_constraints": "trading_account: constraint account_held_not_negative is not enforced"},
    ),
    Case(
        "a unique index is gone",
        ["DROP INDEX account_of_user"],
        {"unique_constraints": "trading_account: unique index account_of_user is missing"},
    ),
    Case(
        "an order waits",
        ["UPDATE trading_order SET created_at = now() - interval '2 minutes' WHERE id = '{pending}'"],
        {"waiting_orders": "order {pending}: PENDING since "},
    ),
    Case(
        "a command waits",
        ["UPDATE trading_pendingcommand SET created_at = now() - interval '2 minutes'"],
        {"waiting_commands": "Amend {amendment}: waits since "},
    ),
    Case(
        "a row fell into a default partition",
        [
            "INSERT INTO trading_transaction (id, kind, trace_id, created_at)"
            " VALUES ('00000000-0000-7000-8000-000000000000', 'DEPOSIT', '', now())"
        ],
        {
            "partitions": "trading_transaction_default: 1 rows",
            "ledger_rows": "transaction 00000000-0000-7000-8000-000000000000 was inserted",
        },
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_is_broken_is_named_and_nothing_else(case: Case, names: Names) -> None:
    ((names["number_index"],),) = sql(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid ="
        " (SELECT tableoid FROM trading_trade LIMIT 1) AND indisunique AND NOT indisprimary"
    )
    ((names["order_partition"],),) = sql("SELECT DISTINCT tableoid::regclass::text FROM trading_order")
    ((names["fees_btc"],),) = sql(
        "SELECT id FROM trading_account WHERE kind = 'FEES' AND asset_id = %s", names["btc"]
    )
    with rolled_back() as connection:
        for statement in case.statements:
            connection.execute(statement.format_map(names))
        found = broken(connection)
    assert set(found) == set(case.breaks), found
    for rule, says in case.breaks.items():
        assert says.format_map(names) in found[rule], found[rule]


def add_to_journal(connection: psycopg.Connection[Any], envelopes: list[Envelope], sequences: int) -> None:
    """A batch that follows the last one and claims to have so many sequences."""
    connection.execute("UPDATE matching_checkpoint SET sequence = sequence + %s", (sequences,))
    connection.execute(
        "INSERT INTO matching_journalbatch"
        " (group_id, epoch, first_sequence, last_sequence, commands, created_at)"
        " SELECT group_id, epoch, last_sequence + 1, last_sequence + %s, %s, now()"
        " FROM matching_journalbatch ORDER BY id DESC LIMIT 1",
        (sequences, encode(envelopes)),
    )


def envelopes(kind: type) -> list[Envelope]:
    """Those in the journal with such a command."""
    rows = sql("SELECT commands FROM matching_journalbatch ORDER BY id")
    return [
        each for (commands,) in rows for each in decode_envelopes(commands) if isinstance(each.command, kind)
    ]


def test_a_command_that_is_twice_in_the_journal_is_named(names: Names) -> None:
    (cancel,) = envelopes(Cancel)
    with rolled_back() as connection:
        add_to_journal(connection, [cancel], 1)
        found = broken(connection)
    assert found == {"journal_commands": f"group alpha: Cancel {cancel.command.id} at 6 and again at 15"}


def test_an_order_that_is_twice_in_the_journal_is_named(names: Names) -> None:
    place = envelopes(Place)[-1]
    with rolled_back() as connection:
        add_to_journal(connection, [place], 1)
        found = broken(connection)
    assert f"Place {place.command.id} at " in found["journal_commands"]
    assert set(found) == {"journal_commands", "journal_orders"}


def test_a_journal_batch_that_is_not_as_long_as_it_says_is_named(names: Names) -> None:
    cancel = Envelope(Cancel(uuid7(), names["instrument"], names["buy"]), "trace")
    with rolled_back() as connection:
        add_to_journal(connection, [cancel], 3)
        assert broken(connection) == {"journal_commands": "group alpha: 1 commands as 15 to 17"}


def test_a_pending_order_that_the_journal_placed_is_named(names: Names) -> None:
    placed = envelopes(Place)[0]
    again = msgspec.structs.replace(placed.command, id=names["pending"])
    with rolled_back() as connection:
        add_to_journal(connection, [msgspec.structs.replace(placed, command=again)], 1)
        found = broken(connection)
    assert found["journal_orders"] == f"order {names['pending']}: placed by the journal, but it is PENDING"


def test_a_trade_that_the_journal_knows_nothing_of_is_named(names: Names) -> None:
    copied = ", ".join(str(field.column) for field in Trade._meta.local_fields[2:])
    assert copied.startswith("instrument_id, price, "), "all but id and number"
    with rolled_back() as connection:
        connection.execute(
            f"INSERT INTO trading_trade (id, number, {copied}) SELECT gen_random_uuid(), 4, {copied}"
            " FROM trading_trade WHERE number = 3"
        )
        found = broken(connection)
    assert found["replay_trades"].startswith("BTC/USDT: the journal ends before trade 4: ")


def test_a_journal_that_the_core_refuses_is_named(names: Names) -> None:
    resting = next(each for each in envelopes(Place) if each.command.id == names["resting"])
    with rolled_back() as connection:
        add_to_journal(connection, [resting], 1)
        found = broken(connection)
    assert found["replay_trades"].startswith(
        f"group alpha sequence 15, Place {names['resting']}: the core refuses it: "
    )


def test_an_unknown_instrument_in_the_journal_is_named(names: Names) -> None:
    with rolled_back() as connection:
        add_to_journal(connection, [Envelope(Cancel(uuid7(), 77, names["buy"]), "trace")], 1)
        assert "there is no instrument 77" in broken(connection)["replay_trades"]


def test_events_in_dropped_partitions_are_not_missed(names: Names) -> None:
    """Once the first partition has gone, what changed since the oldest event that is left must be told."""
    with rolled_back() as connection:
        connection.execute("ALTER TABLE events_outboxevent DETACH PARTITION events_outboxevent_000000")
        assert broken(connection) == {}
        connection.execute(
            "INSERT INTO events_outboxevent (id, topic, key, message)"
            " SELECT id + 5000000, topic, key, message"
            " FROM events_outboxevent_000000 WHERE message LIKE %s ORDER BY id DESC LIMIT 1",
            (f"%{names['cancelled']}%",),
        )
        assert set(broken(connection)) == {"order_events"}, "no trade is younger, and some orders are"


def test_every_guard_of_the_database_is_on_the_list(names: Names) -> None:
    rows = sql(
        "SELECT tgrelid::regclass::text, array_agg(tgname::text ORDER BY tgname) FROM pg_trigger"
        " JOIN pg_class ON pg_class.oid = tgrelid WHERE NOT tgisinternal AND NOT relispartition GROUP BY 1"
    )
    assert dict(rows) == {table: sorted(triggers) for table, triggers in guards.TRIGGERS.items()}


# The command


def run_command(*options: str) -> tuple[int, str]:
    out, progress = io.StringIO(), io.StringIO()
    try:
        call_command("verify", *options, stdout=out, stderr=progress)
        code = 0
    except SystemExit as end:
        code = int(str(end.code))
    assert "postings of a transaction sum to zero" in progress.getvalue()
    return code, out.getvalue()


def test_the_command_prints_a_table(names: Names) -> None:
    code, printed = run_command("--replay")
    lines = printed.splitlines()
    assert code == 0
    assert lines[-1].endswith(": clean")
    assert lines[-2].startswith("14 commands replayed, ")
    assert all(line.startswith("ok ") for line in lines[:-2])


def test_the_command_ends_with_1_and_says_what_is_broken(names: Names) -> None:
    change = "UPDATE trading_account SET available = available + %s WHERE id = %s"
    account = names["alice_btc"]
    with unguarded():
        sql(change, 1, account)
    try:
        code, printed = run_command()
        assert (code, printed.splitlines()[-1].rpartition(": ")[2]) == (1, "balances_derived")
        code, printed = run_command("--json")
    finally:
        with unguarded():
            sql(change, -1, account)
    document = json.loads(printed)
    (found,) = [check for check in document["checks"] if check["result"] != "ok"]
    assert (code, document["clean"], document["commands_per_second"]) == (1, False, None)
    assert (found["name"], found["invariant"], found["breaches"]) == ("balances_derived", 1, 1)
    assert found["first"].startswith(f"account {account}: available ")


def test_the_command_ends_with_2_when_postgresql_is_away(
    names: Names, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(django.db.connections["default"].settings_dict, "PORT", "1")
    with pytest.raises(CommandError, match="nothing was checked: ") as error:
        call_command("verify", stderr=io.StringIO())
    assert error.value.returncode == 2


def test_a_live_system_is_seen_at_one_moment(desk: Desk, names: Names) -> None:
    """Orders are placed and matched all the while, and every look finds a whole state."""
    stop, progressed = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def trade() -> None:
        try:
            user = desk.user(USDT="1000000", BTC="1000")
            other = desk.user(USDT="1000000", BTC="1000")
            while not stop.is_set():
                desk.trade(user, "SELL", "0.1", "99.5")
                desk.trade(other, "BUY", "0.05", "99.5")
                desk.trade(other, "BUY", "0.05", "99.5")
                progressed.set()
        except BaseException as error:
            failed.append(error)
        finally:
            django.db.connections.close_all()

    thread = threading.Thread(target=trade)
    thread.start()
    try:
        results = []
        for _ in range(5):
            progressed.clear()
            assert progressed.wait(PATIENCE), failed
            results.append(report.run(_silent, replay=True))
    finally:
        stop.set()
        thread.join()
    assert not failed
    assert [finding for result in results for finding in result.findings if finding.breaches] == []
    commands = [result.commands for result in results]
    assert commands == sorted(set(commands)), "the market went on"
