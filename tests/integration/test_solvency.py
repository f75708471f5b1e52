"""Proofs of what is owed: published from a real ledger, asked for by users, and checked by other people's means."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import django.db
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import DjangoDbBlocker

from exchange.embedded.stack import PROJECT
from exchange.platform.audit.models import Record
from exchange.platform.members import authentication, tokens
from exchange.platform.members.models import Institution, User
from tests.market import Desk, lasting_desk, sql, unguarded
from trading.books import merkle, signing, solvency
from trading.ledger.accounts import deposit
from trading.models import SolvencyLeaf, SolvencyLevel, SolvencyProof, SolvencySecret

D = Decimal


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Desk]:
    with lasting_desk(django_db_blocker) as desk:
        yield desk


@pytest.fixture(scope="module")
def desk(db: Desk) -> Desk:
    return db


@pytest.fixture(scope="module")
def users(desk: Desk) -> dict[str, str]:
    """alice bought 2 BTC of bob and has 300 USDT in an order; carol is of another institution; dave had BTC once."""
    alice, bob, dave = desk.user(USDT="1000"), desk.user(BTC="5"), desk.user(BTC="1")
    desk.trade(bob, "SELL", "2", "100")
    desk.trade(alice, "BUY", "2", "100")
    desk.trade(alice, "BUY", "3", "99")
    desk.trade(dave, "SELL", "1", "99")
    other = Institution.objects.create(code="other", name="Other")
    carol = User.objects.create_user("carol@other.exchange", institution=other)
    deposit(user=carol, asset=desk.assets["BTC"], amount=D("0.00000001"), trace_id="other")
    return {"alice": alice, "bob": bob, "carol": str(carol.pk), "dave": dave}


@pytest.fixture(scope="module")
def folder(users: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("books")
    call_command("proof_of_solvency", "--folder", str(folder), stdout=StringIO(), stderr=StringIO())
    return folder


def ask(user: str) -> Any:
    """GET /api/v1/solvency as this user."""
    authentication.clear_cache()
    token = tokens.access(User.objects.get(pk=user))
    answer = Client().get("/api/v1/solvency", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.content
    return answer.json()


def check(answer: Any, tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """What docs/check_leaf.py says of it, in a Python without our packages."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(answer))
    script = str(PROJECT / "docs" / "check_leaf.py")
    done = subprocess.run(
        [sys.executable, "-I", "-S", script, str(path), *arguments], capture_output=True, text=True
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def test_roots_say_what_is_owed(desk: Desk, folder: Path) -> None:
    key = signing.private_key().public_key()
    paths = sorted(folder.rglob("*.json"))
    assert [path.name for path in paths] == ["bank-BTC.json", "bank-USDT.json", "other-BTC.json"]
    btc, usdt, other = (signing.verify(signing.read(path.read_bytes()), key) for path in paths)
    assert btc["owed_to_users"] == "5.995" and btc["sum"] == "599500000" and btc["fees"] == "0.005"
    assert btc["kept_in_custody"] == "6" and btc["due_from_institutions"] == "0"
    assert usdt["kept_in_custody"] == "1000" and usdt["owed_to_users"] == "999.602"
    assert other["sum"] == "1" and other["height"] == 1
    stored = SolvencyProof.objects.get(institution__code="bank", asset__code="BTC")
    assert stored.root == btc["root"] and stored.total == D("5.995")
    told = json.dumps(btc)
    assert "user" not in told.replace("owed_to_users", "") and "account" not in told
    record = Record.objects.get(action="solvency.published")
    assert json.loads(record.new)["bank BTC"] == btc["root"]


def test_each_user_finds_their_balance_and_nobody_elses(
    users: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    pem = tmp_path / "key.pem"
    for name, told in {
        "alice": ["BTC: 2.99500000 is", "USDT: 701.000000 is"],
        "bob": ["BTC: 3.00000000 is", "USDT: 199.800000 is"],
        "carol": ["BTC: 0.00000001 is"],
        "dave": ["BTC: 0.00000000 is"],
    }.items():
        answer = ask(users[name])
        assert answer["user_id"] == users[name]
        pem.write_text(answer["public_key"])
        code, text = check(answer, tmp_path, "--user", users[name], "--key", str(pem), "--roots", str(folder))
        assert code == 0, text
        for line in told:
            assert line in text
        others = set(users.values()) - {users[name]}
        assert not any(other in json.dumps(answer) for other in others)
    names = {item["document"]["report"]["institution"] for item in ask(users["carol"])["items"]}
    assert names == {"other"}


def test_what_is_tampered_with_is_found(users: dict[str, str], folder: Path, tmp_path: Path) -> None:
    answer = ask(users["alice"])
    pem = tmp_path / "key.pem"
    pem.write_text(answer["public_key"])

    def leaf(made: Any) -> Any:
        return made["items"][0]["leaves"][0]

    def less(made: Any) -> None:
        """The whole tree shown with less, as an exchange would that owes more than it says."""
        report = made["items"][0]["document"]["report"]
        report["sum"] = str(int(report["sum"]) - 1)
        beside = leaf(made)["path"][-1]
        beside["sum"] = str(int(beside["sum"]) - 1)

    changes: list[tuple[Callable[[Any], Any], str]] = [
        (lambda made: leaf(made).update(amount=str(int(leaf(made)["amount"]) + 1)), "does not lead"),
        (lambda made: leaf(made).update(position=leaf(made)["position"] ^ 1), "does not lead|twice"),
        (lambda made: leaf(made).update(nonce="0" * 64), "does not lead"),
        (lambda made: leaf(made)["path"][0].update(sum="-1"), "is not a sum"),
        (lambda made: leaf(made)["path"].pop(), "not as long"),
        (lambda made: made["items"][0]["leaves"].append(leaf(made)), "twice"),
        (less, "does not lead"),
        (lambda made: made["items"][0]["document"]["report"].update(taken_at="x"), "signature"),
        (lambda made: made["items"][0]["document"]["signature"].update(value="AAAA"), "signature"),
    ]
    for change, says in changes:
        made = copy.deepcopy(answer)
        change(made)
        code, text = check(made, tmp_path, "--key", str(pem))
        assert code == 1 and any(word in text for word in says.split("|")), (says, text)
        assert "USDT: 701" in text  # the other proof is still one
    code, text = check(answer, tmp_path, "--user", users["bob"])
    assert code == 1 and "does not lead" in text
    assert check(answer, tmp_path, "--roots", str(tmp_path / "nothing"))[0] == 1


def test_the_tree_in_the_database_is_the_one_that_was_signed(users: dict[str, str], folder: Path) -> None:
    proof = SolvencyProof.objects.get(institution__code="bank", asset__code="BTC")
    leaves = list(SolvencyLeaf.objects.filter(proof=proof))
    assert len(leaves) == 2 * 3 and proof.height == 3  # two parts each of three users, padded to eight
    assert sum(leaf.amount for leaf in leaves) == D("599500000")
    secret = bytes(proof.secret.value)
    for leaf in leaves:
        path = solvency._path(proof.pk, leaf.position, proof.height)
        user = str(leaf.user_id)
        nonce = merkle.nonce(secret, user, leaf.part)
        start = merkle.leaf(str(proof.pk), "BTC", user, leaf.part, nonce, int(leaf.amount))
        assert merkle.climb(start, leaf.position, path).hash.hex() == proof.root
    for statement in (
        "UPDATE trading_solvencyproof SET root = ''",
        "DELETE FROM trading_solvencyproof",
        "UPDATE trading_solvencyleaf SET amount = 0",
        "UPDATE trading_solvencylevel SET nodes = ''",
    ):
        with pytest.raises(django.db.Error, match="append-only"), django.db.connection.cursor() as cursor:
            cursor.execute(statement)


def test_nothing_is_published_that_is_not_covered(
    users: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    proofs = SolvencyProof.objects.count()
    for statement, back, says in (
        (
            "UPDATE trading_account SET available = available - 1 WHERE kind = 'USER' AND user_id = '{bob}'",
            "UPDATE trading_account SET available = available + 1 WHERE kind = 'USER' AND user_id = '{bob}'",
            "available",
        ),
        (
            "UPDATE trading_posting SET amount = amount + 1 WHERE amount = 1000",
            "UPDATE trading_posting SET amount = amount - 1 WHERE amount = 1001",
            "sum to zero",
        ),
    ):
        with unguarded():
            sql(statement.format(**users))
        try:
            with pytest.raises(CommandError, match=says) as raised:
                call_command(
                    "proof_of_solvency", "--folder", str(tmp_path), stdout=StringIO(), stderr=StringIO()
                )
            assert raised.value.returncode == 1
        finally:
            with unguarded():
                sql(back.format(**users))
    assert SolvencyProof.objects.count() == proofs and list(tmp_path.iterdir()) == []


def test_a_dry_run_and_what_is_kept(desk: Desk, users: dict[str, str], folder: Path, tmp_path: Path) -> None:
    out = StringIO()
    call_command(
        "proof_of_solvency", "--dry-run", "--json", "--folder", str(tmp_path), stdout=out, stderr=StringIO()
    )
    told = json.loads(out.getvalue())
    assert [each["asset"] for each in told["proofs"]] == ["BTC", "USDT", "BTC"] and told["files"] == []
    assert list(tmp_path.iterdir()) == []
    roots = {proof["root"] for proof in told["proofs"]}
    for number in range(2):
        call_command(
            "proof_of_solvency", "--folder", str(tmp_path / str(number)), stdout=out, stderr=StringIO()
        )
    of_bank = SolvencyProof.objects.filter(institution__code="bank", asset__code="BTC")
    assert of_bank.count() == 3  # every root
    for model in (SolvencyLevel, SolvencyLeaf, SolvencySecret):
        kept = model.objects.filter(proof__in=of_bank).values_list("proof_id", flat=True)
        assert set(kept) == set(of_bank.order_by("-taken_at").values_list("pk", flat=True)[: solvency.KEEP])
    assert (
        len({*of_bank.values_list("root", flat=True), *roots}) == 6
    )  # blinded again each time: they cannot be compared
    (item, _) = ask(users["alice"])["items"]
    assert item["document"] == json.loads(of_bank.latest("taken_at").document)


def test_who_may_not_ask(users: dict[str, str], folder: Path) -> None:
    assert Client().get("/api/v1/solvency").status_code == 401
    newcomer = User.objects.create_user(
        "new@other.exchange", institution=Institution.objects.get(code="other")
    )
    assert [item["leaves"] for item in ask(str(newcomer.pk))["items"]] == [[]]
