"""The audit log: append-only, chained, and whatever a superuser does to it or to the ledger is named.

Each case tampers in a transaction, as a superuser with the triggers off, checks in it, and rolls back.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from pytest_django import DjangoDbBlocker

from exchange.base import database
from exchange.base.database import connect
from exchange.base.origin import Origin, acting
from exchange.platform.audit import anchors, log, sealing, verify
from exchange.platform.events import schema
from tests.market import Desk, lasting_desk, sql, unguarded
from trading.ledger import seal
from trading.orders import acceptance, candidates
from trading.verify import ledger_seals

ROWS = 8  # records of the bank's chain beside those of its orders


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Desk]:
    """In place of the one that rolls back: all tests here share what is committed."""
    with lasting_desk(django_db_blocker) as desk:
        yield desk


@dataclass
class Chain:
    """The bank's chain: the ids of its records, the first at 1."""

    id: str
    ids: list[str]


@pytest.fixture(scope="module")
def chain(db: Desk) -> Chain:
    """Orders that traded, records of two institutions, all sealed."""
    alice, bob = db.user(USDT="1000", BTC="1"), db.user(USDT="1000", BTC="1")
    with acting(Origin(alice, "TRADER", str(db.institution.pk), "192.0.2.7", "robot/1", "trace-of-alice")):
        db.trade(alice, "BUY", "0.5", "100")
    with acting(Origin(bob, "TRADER", str(db.institution.pk), "192.0.2.8", "robot/2", "trace-of-bob")):
        resting = db.trade(bob, "SELL", "0.6", "100")
        db.match(db.cancel(resting))
    for number in range(ROWS):
        write(institution=str(db.institution.pk), new={"number": number})
    write(institution="")
    assert sealing.seal_all() and sealing.seal() == 0
    while seal.seal():
        pass
    assert seal.anchor() and not seal.anchor()
    assert sealing.seal() == 1
    rows = sql("SELECT id::text FROM audit_seal WHERE chain = %s ORDER BY number", db.institution.pk)
    return Chain(str(db.institution.pk), ["", *(row[0] for row in rows)])


def write(institution: str, new: dict[str, Any] | None = None, action: str = "test") -> None:
    with transaction.atomic():
        log.record(action=action, resource="thing/1", actor="somebody", institution=institution, new=new)


class Undone(Exception):
    """Nothing of it is to stay."""


@contextmanager
def vandal() -> Iterator[psycopg.Connection[Any]]:
    """A superuser's transaction with the triggers off, of which nothing stays."""
    with connect("exchange test vandal") as connection:
        connection.execute("BEGIN")
        connection.execute("SET LOCAL session_replication_role = replica")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")


def found(connection: psycopg.Connection[Any]) -> list[tuple[str, int | None, str]]:
    report = verify.run(connection, lambda what: None)
    return in_order((each.kind, each.number, each.record) for each in report.findings)


def in_order(names: Iterable[tuple[str, int | None, str]]) -> list[tuple[str, int | None, str]]:
    return sorted(names, key=lambda name: (name[0], name[1] or 0))


# -- nobody changes it


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_record SET actor = 'another'",
        "DELETE FROM audit_record",
        "TRUNCATE audit_record",
        "TRUNCATE audit_record_default",
        "UPDATE audit_seal SET number = number + 1",
        "DELETE FROM audit_seal",
        "TRUNCATE audit_seal",
        "DELETE FROM audit_head",
        "TRUNCATE audit_head",
        "TRUNCATE audit_archived",
        "UPDATE trading_ledgerseal SET hash = before",
        "DELETE FROM trading_ledgerseal",
        "TRUNCATE trading_ledgerseal",
    ],
)
def test_the_database_refuses_every_change(chain: Chain, statement: str) -> None:
    with (
        pytest.raises(IntegrityError, match="is append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


# -- it is what it says it is


def test_a_chain_is_what_the_documents_say(chain: Chain) -> None:
    """Done again from the table alone, without our code."""
    before = bytes(32)
    rows = sql(
        """SELECT s.hash, json_build_object('id', r.id, 'institution', r.institution_id, 'actor', actor, 'role', role,
             'action', action, 'resource', resource, 'old', old, 'new', new, 'address', address, 'agent', agent,
             'trace_id', trace_id), to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
             FROM audit_seal s JOIN audit_record r ON r.id = s.id WHERE s.chain = %s ORDER BY s.number""",
        chain.id,
    )
    assert len(rows) == ROWS + 3
    for digest, record, at in rows:
        text = json.dumps(record | {"at": at}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        before = hashlib.sha256(before + text.encode()).digest()
        assert before == bytes(digest)


def test_nothing_is_wrong_with_it(chain: Chain) -> None:
    with vandal() as connection:
        report = verify.run(connection, lambda what: None)
    assert (report.findings, report.chains, report.unsealed) == ([], 2, 0)


@dataclass(frozen=True)
class Case:
    what: str
    statements: list[str]
    names: list[tuple[str, int | None, int | None]]  # kind, number, place of the record in the chain


CASES = [
    Case(
        "a record was changed", ["UPDATE audit_record SET actor = 'me' WHERE id = '{5}'"], [("changed", 5, 5)]
    ),
    Case(
        "a time was changed",
        ["UPDATE audit_record SET at = at - interval '1 s' WHERE id = '{5}'"],
        [("changed", 5, 5)],
    ),
    Case("a record is gone", ["DELETE FROM audit_record WHERE id = '{5}'"], [("missing", 5, 5)]),
    Case(
        "a record is gone with its seal",
        ["DELETE FROM audit_record WHERE id = '{5}'", "DELETE FROM audit_seal WHERE id = '{5}'"],
        [("missing", 5, None)],
    ),
    Case(
        "a seal is gone",
        ["DELETE FROM audit_seal WHERE id = '{5}'"],
        [("inserted", None, 5), ("missing", 5, None)],
    ),
    Case(
        "the end was cut off",
        [
            "DELETE FROM audit_record WHERE id IN ('{10}', '{11}')",
            "DELETE FROM audit_seal WHERE chain = '{chain}' AND number >= 10",
        ],
        [("missing", 10, None)],
    ),
    Case(
        "the end was cut off, the head set back",
        [
            "DELETE FROM audit_record WHERE id = '{11}'",
            "DELETE FROM audit_seal WHERE id = '{11}'",
            "UPDATE audit_head SET number = 10 WHERE chain = '{chain}'",
        ],
        [("changed", 10, 10)],
    ),
    Case(
        "two records changed places",
        [
            "UPDATE audit_record SET id = gen_random_uuid() WHERE id = '{5}'",
            "UPDATE audit_record SET id = '{5}' WHERE id = '{7}'",
            "UPDATE audit_record SET id = '{7}' WHERE id NOT IN (SELECT id FROM audit_seal)",
        ],
        [("reordered", 5, 5), ("reordered", 7, 7)],
    ),
    Case(
        "two seals changed places",
        [
            "UPDATE audit_seal SET number = -1 WHERE id = '{5}'",
            "UPDATE audit_seal SET number = 5 WHERE id = '{6}'",
            "UPDATE audit_seal SET number = 6 WHERE id = '{5}'",
        ],
        [("reordered", 5, 6), ("reordered", 6, 5)],
    ),
    Case(
        "a record was moved to another place",
        [
            "UPDATE audit_seal SET number = -1 WHERE id = '{8}'",
            "UPDATE audit_seal SET number = 8 WHERE id = '{7}'",
            "UPDATE audit_seal SET number = 7 WHERE id = '{6}'",
            "UPDATE audit_seal SET number = 6 WHERE id = '{8}'",
        ],
        [("reordered", 6, 8), ("reordered", 7, 6), ("reordered", 8, 7)],
    ),
    Case(
        "a record was put in",
        ["INSERT INTO audit_record (id, actor, action, resource) VALUES ('{new}', 'me', 'a', 'b')"],
        [("inserted", None, None)],
    ),
    Case(
        "a record was put in with a seal",
        [
            "UPDATE audit_seal SET number = number + 101 WHERE chain = '{chain}' AND number >= 6",
            "UPDATE audit_seal SET number = number - 100 WHERE chain = '{chain}' AND number > 100",
            "INSERT INTO audit_record (id, institution_id, actor, action, resource)"
            " VALUES ('{new}', '{chain}', 'me', 'a', 'b')",
            "INSERT INTO audit_seal (id, chain, number, before, hash)"
            " SELECT '{new}', chain, 6, hash, sha256('guessed') FROM audit_seal WHERE id = '{5}'",
            "UPDATE audit_head SET number = number + 1 WHERE chain = '{chain}'",
        ],
        [("changed", 6, None), ("inserted", 6, None)],
    ),
    Case(
        "a record was changed with its seal",
        [
            "UPDATE audit_record SET actor = 'me' WHERE id = '{5}'",
            "UPDATE audit_seal SET hash = '{forged}'::bytea WHERE id = '{5}'",
        ],
        [("changed", 5, 5)],
    ),
    Case(
        "a seal was changed",
        ["UPDATE audit_seal SET hash = sha256('x') WHERE id = '{5}'"],
        [("changed", 5, 5)],
    ),
    Case(
        "a record went to another chain",
        ["UPDATE audit_record SET institution_id = NULL WHERE id = '{5}'"],
        [("changed", None, 5), ("changed", 5, 5)],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_was_tampered_with_is_named(chain: Chain, case: Case) -> None:
    new = "ffffffff-ffff-7fff-bfff-ffffffffff00"
    with vandal() as connection:
        for statement in case.statements:
            forged = "\\x" + forged_hash(connection, chain.ids[5]) if "{forged}" in statement else ""
            connection.execute(statement.format(*chain.ids, chain=chain.id, new=new, forged=forged))
        expected = [
            (
                kind,
                number,
                new if place is None and kind in ("inserted", "changed") else chain.ids[place or 0],
            )
            for kind, number, place in case.names
        ]
        assert found(connection) == in_order(expected)


def forged_hash(connection: psycopg.Connection[Any], record: str) -> str:
    """What the record, as it is now, would make."""
    query = verify._SEALS.replace("s.chain = %s AND s.number > %s", "s.id = %s")
    row = connection.execute(query, (record, 1)).fetchone()
    assert row is not None
    return verify.link(bytes(row[2]), verify.Entry(*row[4:])).hex()


def test_a_record_waits_for_its_seal_a_minute_at_most(chain: Chain) -> None:
    with vandal() as connection:
        connection.execute("SET LOCAL session_replication_role = origin")
        connection.execute(
            "INSERT INTO audit_record (id, at, actor, action, resource)"
            " VALUES (gen_random_uuid(), now() - interval '50 s', 'a', 'b', 'c')"
        )
        assert found(connection) == []
        connection.execute(
            "INSERT INTO audit_record (id, at, actor, action, resource)"
            " VALUES ('ffffffff-ffff-7fff-bfff-ffffffffff00', now() - interval '70 s', 'a', 'b', 'c')"
        )
        assert found(connection) == [("unsealed", None, "ffffffff-ffff-7fff-bfff-ffffffffff00")]
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("DELETE FROM audit_record WHERE id = 'ffffffff-ffff-7fff-bfff-ffffffffff00'")
        assert [kind for kind, *_ in found(connection)] == ["missing"]


# -- orders


def test_order_commands_are_recorded_with_who_sent_them(chain: Chain) -> None:
    rows = sql(
        "SELECT actor, role, address, agent, trace_id, resource, new FROM audit_record WHERE action = 'ORDERS'"
    )
    told = [(*row[:6], json.loads(row[6])["requests"]) for row in rows]
    bought, sold, cancelled = told
    assert bought[1:6] == ("TRADER", "192.0.2.7", "robot/1", "trace-of-alice", "orders/1")
    ((place,),) = [request["commands"] for request in bought[6]]
    assert [place[0], *place[2:4], *place[5:]] == [
        "PLACE",
        "PENDING",
        "",
        "BTC/USDT",
        "BUY",
        "LIMIT",
        "0.5000",
        "100.00",
        "",
    ]
    assert sold[0] == cancelled[0] != bought[0] and cancelled[2] == "192.0.2.8"
    ((sell,),) = [request["commands"] for request in sold[6]]
    assert cancelled[6][0]["commands"] == [["CANCEL", sell[1], "BTC/USDT", ""]]


def test_an_event_commits_with_its_record(chain: Chain) -> None:
    """By every writer: the order path here, and `record`. No seal is needed."""
    records = sql("SELECT id::text, xmin::text, actor, action, new FROM audit_record ORDER BY id")
    events = sql("SELECT xmin::text, key, message FROM events_outboxevent WHERE topic = 'audit.logs'")
    told = {(message := json.loads(text))["event_id"]: (*rest, message) for *rest, text in events}
    assert {"ORDERS"} < {action for _, _, _, action, _ in records} and told.keys() == {
        row[0] for row in records
    }
    for record, transaction_id, actor, action, new in records:
        its_transaction, key, message = told[record]
        schema.check("audit.logs", message)
        payload = message["payload"]
        assert its_transaction == transaction_id and key == (payload["institution"] or "platform")
        assert (payload["record"], payload["actor"], payload["action"]) == (record, actor, action)
        assert payload["new"] == json.loads(new)


def test_a_batch_has_one_record_for_each_institution(db: Desk) -> None:
    """What several send at once is told apart in it; what nobody asked for is named so."""
    alice, bob = db.user(USDT="1000"), db.user(USDT="1000")
    prepared = []
    for user, address in ((alice, "192.0.2.7"), (bob, "192.0.2.8")):
        with acting(Origin(user, "TRADER", str(db.institution.pk), address)):
            drafts = [db.draft(user, "BUY", "1", "1"), db.draft(user, "BUY", "999", "999")]
            prepared += candidates.prepare(drafts, db.member(user))
    with suppress(Undone), database.transaction(database.own_connection()) as tx:
        accepted = acceptance._accept(tx, prepared, [], locked=False)
        ((record,),) = tx.fetch(
            ("SELECT actor, resource, new FROM audit_record ORDER BY id DESC LIMIT 1", ())
        )
        raise Undone
    requests = json.loads(record[2])["requests"]
    assert record[:2] == ("several", "orders/4") and len(accepted.pending) == 2
    addresses = {alice: "192.0.2.7", bob: "192.0.2.8"}
    assert {each["actor"]: each["address"] for each in requests} == addresses
    assert [[line[2:4] for line in each["commands"]] for each in requests] == [
        [["PENDING", ""], ["REJECTED", "INSUFFICIENT_FUNDS"]]
    ] * 2


# -- the ledger


def test_what_was_done_to_the_ledger_is_named(chain: Chain) -> None:
    """Each of these leaves every sum as it was."""
    first, second, third = (
        row[0] for row in sql("SELECT id::text FROM trading_transaction ORDER BY id LIMIT 3")
    )
    new = f"{first[:-5]}fff00"
    halves = "SELECT account_id, asset_id, amount FROM trading_posting WHERE transaction_id = %s"
    with vandal() as connection:
        connection.execute("UPDATE trading_posting SET amount = -amount WHERE transaction_id = %s", (first,))
        assert broken_ledger(connection) == [f"{first} was changed"]
    with vandal() as connection:
        connection.execute("UPDATE trading_transaction SET kind = 'ADJUSTMENT' WHERE id = %s", (second,))
        assert broken_ledger(connection) == [f"{second} was changed"]
    with vandal() as connection:
        for table, column in (("posting", "transaction_id"), ("transaction", "id")):
            connection.execute(f"DELETE FROM trading_{table} WHERE {column} IN (%s, %s)", (first, third))
        assert broken_ledger(connection) == [f"{first} is missing", f"{third} is missing"]
    with vandal() as connection:
        connection.execute("DELETE FROM trading_transaction WHERE id = %s", (first,))
        assert broken_ledger(connection) == [f"{first} was changed"]
    with vandal() as connection:
        account, asset, amount = connection.execute(halves, (first,)).fetchall()[0]
        for ordinal, more in (("c8", amount), ("c9", -amount)):
            connection.execute(
                "INSERT INTO trading_posting (id, transaction_id, account_id, asset_id, amount)"
                " VALUES (%s, %s, %s, %s, %s)",
                (f"{first[:-2]}{ordinal}", first, account, asset, more),
            )
        assert broken_ledger(connection) == [f"{first} was changed"]
    with vandal() as connection:
        connection.execute(
            "INSERT INTO trading_transaction (id, kind, trace_id, created_at)"
            " SELECT %s, kind, 'forged', created_at FROM trading_transaction WHERE id = %s",
            (new, first),
        )
        assert broken_ledger(connection) == [f"{new} was inserted: it was never sealed"]
    with vandal() as connection:
        for one, other in ((first, new), (second, first), (new, second)):
            moved(connection, one, other)
        assert broken_ledger(connection) == [
            f"{first} was reordered: it has the rows of {second}",
            f"{second} was reordered: it has the rows of {first}",
        ]
    with vandal() as connection:
        moved(connection, first, new)
        assert broken_ledger(connection) == [f"{new} was reordered: it was sealed as {first}"]


def test_the_ledgers_seals_are_a_chain_too(chain: Chain) -> None:
    """And the audit log knows where it stood, so it cannot be made again."""
    with vandal() as connection:
        connection.execute(
            "UPDATE trading_ledgerseal SET entries = substring(entries FROM 33) WHERE number = 1"
        )
        assert "seal 1 was changed" in broken_ledger(connection)
    with vandal() as connection:
        connection.execute("DELETE FROM trading_ledgerseal")
        assert broken_ledger(connection)[0].startswith(
            "seal 1 is missing, of which the audit log was told in "
        )
    with vandal() as connection:
        connection.execute(
            "UPDATE trading_ledgerseal SET before = sha256('x'), hash = sha256(sha256('x') || entries)"
        )
        named = broken_ledger(connection)
        assert "seal 1 does not follow seal 0: one of them was changed or moved" in named
        assert any(each.startswith("seal 1 is another than the audit log was told in ") for each in named)


def broken_ledger(connection: psycopg.Connection[Any]) -> list[str]:
    return [
        what.removeprefix("transaction ")
        for finding in ledger_seals.check(connection, lambda what: None)
        for what in finding.named
    ]


def moved(connection: psycopg.Connection[Any], one: str, other: str) -> None:
    """Give a transaction and its postings another id."""
    connection.execute(
        "UPDATE trading_posting SET transaction_id = %s, id = overlay(%s PLACING right(id::text, 2) FROM 35)::uuid"
        " WHERE transaction_id = %s",
        (other, other, one),
    )
    connection.execute("UPDATE trading_transaction SET id = %s WHERE id = %s", (other, one))


def test_a_ledger_that_is_sealed_is_clean(chain: Chain) -> None:
    with vandal() as connection:
        rules = {finding.rule.name: finding for finding in ledger_seals.check(connection, lambda what: None)}
    assert not any(finding.breaches for finding in rules.values())
    assert rules["ledger_rows"].count >= 5 and rules["ledger_chain"].count >= 1


# -- the commands


def output(*arguments: str) -> tuple[int, str]:
    """Exit code, and what a command prints."""
    out, code = io.StringIO(), 0
    try:
        call_command(*arguments, stdout=out, stderr=io.StringIO())
    except SystemExit as end:
        code = int(str(end.code))
    return code, out.getvalue()


def test_both_commands_name_what_a_superuser_did(chain: Chain) -> None:
    """As docs/audit.md tells it: the rows are really changed, and put back."""
    assert output("audit", "--verify")[0] == output("verify")[0] == 0
    first, second = (row[0] for row in sql("SELECT id::text FROM trading_transaction ORDER BY id LIMIT 2"))
    amounts = sql("SELECT id, amount FROM trading_posting WHERE transaction_id = %s", first)
    (deleted,) = sql("SELECT to_jsonb(r)::text FROM audit_record r WHERE id = %s", chain.ids[7])
    with unguarded():
        sql("UPDATE audit_record SET actor = 'nobody at all' WHERE id = %s", chain.ids[5])
        sql("DELETE FROM audit_record WHERE id = %s", chain.ids[7])
        sql("UPDATE trading_posting SET amount = amount * 2 WHERE transaction_id = %s", first)
        sql("UPDATE trading_transaction SET trace_id = 'x' WHERE id = %s", second)
    try:
        code, audit = output("audit", "--verify")
        assert code == 1
        assert f"changed    bank 5  {chain.ids[5]}  its record is not what was sealed" in audit
        assert f"missing    bank 7  {chain.ids[7]}  its record is gone, its seal is there" in audit
        assert audit.rstrip().endswith(": 2 findings")
        code, ledger = output("verify")
        assert code == 1 and "ledger_rows: 2 of them" in ledger
        assert f"transaction {first} was changed" in ledger and f"transaction {second} was changed" in ledger
    finally:
        with unguarded():
            sql("UPDATE audit_record SET actor = 'somebody' WHERE id = %s", chain.ids[5])
            sql(
                "INSERT INTO audit_record SELECT * FROM jsonb_populate_record(NULL::audit_record, %s)",
                deleted[0],
            )
            for posting, amount in amounts:
                sql("UPDATE trading_posting SET amount = %s WHERE id = %s", amount, posting)
            sql("UPDATE trading_transaction SET trace_id = 'funding' WHERE id = %s", second)
    assert output("audit", "--verify")[0] == output("verify")[0] == 0


def test_a_head_that_was_kept_elsewhere_finds_a_chain_that_was_made_anew(chain: Chain) -> None:
    """Everything from record 5 on is written again, with all hashes right, and the head too."""
    (head,) = [line for line in output("audit", "--heads")[1].splitlines() if line.startswith("bank:")]
    assert output("audit", "--verify", "--anchor", head)[0] == 0
    institution, number, digest = head.split(":")
    assert (institution, int(number)) == ("bank", len(chain.ids) - 1)
    with vandal() as connection:
        connection.execute("UPDATE audit_record SET actor = 'me' WHERE id = %s", (chain.ids[5],))
        rows = connection.execute(verify._SEALS, (chain.id, 4, 100)).fetchall()
        before = bytes(rows[0][2])
        for record, _, _, _, *fields in rows:
            made = verify.link(before, verify.Entry(*fields))
            connection.execute(
                "UPDATE audit_seal SET before = %s, hash = %s WHERE id = %s", (before, made, record)
            )
            before = made
        connection.execute("UPDATE audit_head SET hash = %s WHERE chain = %s", (before, chain.id))
        assert found(connection) == [], "by itself it is a sound chain"
        anchor = anchors.Anchor(UUID(chain.id), int(number), bytes.fromhex(digest))
        (named,) = anchors.check(connection, [anchor])
        assert named.kind == "anchor" and "was rewritten" in named.detail


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--anchor", "bank"], "must be INSTITUTION:NUMBER:HASH"),
        (["--anchor", f"none:1:{'0' * 64}"], "there are: platform, bank"),
        (["--archive", "/nowhere"], "is not a folder"),
    ],
)
def test_what_cannot_be_checked_is_bad_usage(chain: Chain, options: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says) as refused:
        call_command("audit", "--verify", *options)
    assert refused.value.returncode == 2


def test_heads_are_told_outside_when_they_have_grown(chain: Chain) -> None:
    sealing.seal_all()
    assert sealing.publish_heads() == 2 and sealing.publish_heads() == 0
    heads = [
        json.loads(row[0])
        for row in sql("SELECT message FROM events_outboxevent WHERE message LIKE '%AUDIT_HEAD%'")
    ]
    for event in heads:
        schema.check("audit.logs", event)
    told = {event["payload"]["institution"]: event["payload"]["hash"] for event in heads}
    assert (
        told[chain.id] == sql("SELECT encode(hash, 'hex') FROM audit_head WHERE chain = %s", chain.id)[0][0]
    )
