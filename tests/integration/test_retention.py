"""`manage.py retention`: what is due goes to files, whole and checked; what is left still fits, files and all."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from msgspec import msgpack, structs

from exchange.base import ids
from exchange.base.partitions import Partitioned
from exchange.platform.audit import sealing
from exchange.platform.audit.log import record
from exchange.platform.kyc.models import KycProfile
from exchange.platform.members.models import KnownDevice, User
from matching.codec import decode_envelopes
from tests.market import Desk, open_desk, sql, unguarded
from trading.models.partitions import TABLES
from trading.retention import archive

LONG_AGO = datetime(2017, 3, 1, tzinfo=UTC)


@pytest.fixture
def desk(transactional_db: None) -> Iterator[Desk]:
    try:
        with open_desk() as desk:
            yield desk
    finally:
        for (left,) in sql(
            r"SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '_2017_03(_01)?$'"
        ):
            sql(f"DROP TABLE {left}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def retention(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    return command("retention", "--folder", str(folder), *options)


def command(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and what it prints as JSON."""
    out, code = io.StringIO(), 0
    try:
        call_command(*arguments, "--json", stdout=out, stderr=io.StringIO())
    except SystemExit as end:
        code = int(str(end.code))
    return code, json.loads(out.getvalue())


def partition(table: str, start: datetime, end: datetime) -> str:
    """As `partitions.ensure` would have made it then."""
    kind: Partitioned = next(each for each in TABLES if each.table == table)
    name = f"{table}_{start:%Y_%m}" if kind.span == "month" else f"{table}_{start:%Y_%m_%d}"
    sql(
        f"CREATE TABLE {name} PARTITION OF {table}"
        f" FOR VALUES FROM ('{ids.floor(start)}') TO ('{ids.floor(end)}') {kind.options}"
    )
    for statement in kind.extra:
        sql(statement.format(partition=name))
    return name


def month(table: str, start: datetime = LONG_AGO) -> str:
    return partition(table, start, (start + timedelta(days=32)).replace(day=1))


def old(start: datetime = LONG_AGO) -> str:
    """The SQL that makes an id of then of one of now."""
    prefix = str(ids.floor(start + timedelta(hours=1)))[:13]
    return f"overlay(id::text PLACING '{prefix}' FROM 1)::uuid"


def records(count: int, institution: str = "") -> None:
    for number in range(count):
        with transaction.atomic():
            record(
                action="test",
                resource=f"thing/{number}",
                institution=institution,
                new={"text": 'a "b",\nç\\d'},
            )


def age_records() -> None:
    """As if all records had been written long ago, and sealed then."""
    with unguarded():
        sql(f"UPDATE audit_record SET id = {old()}, at = at - interval '8 years'")
        sql("DELETE FROM audit_unsealed")
        sql("INSERT INTO audit_unsealed SELECT id FROM audit_record")
    sealing.seal_all()


def test_old_records_go_to_a_file_and_the_chain_holds(desk: Desk, folder: Path) -> None:
    bank = str(desk.institution.pk)
    name, seals = month("audit_record"), month("audit_seal")
    records(3, bank)
    records(2)
    age_records()
    records(2, bank)
    sealing.seal_all()
    sql("UPDATE audit_head SET told = 0")
    before = {(row[0], row[1]): row[2] for row in sql("SELECT chain, number, hash FROM audit_seal")}

    code, told = retention(folder, "--dry-run")
    assert code == 0 and [(each["name"], each["rows"]) for each in told["archived"]] == [(name, 5)]
    assert not folder.exists() and sql(f"SELECT count(*) FROM {name}") == [(5,)]

    code, told = retention(folder)
    assert code == 0 and [(each["name"], each["rows"]) for each in told["archived"]] == [(name, 5)]
    assert sql("SELECT to_regclass(%s), to_regclass(%s)", name, seals) == [(None, None)]
    manifest = json.loads((folder / f"{name}.json").read_text())
    assert manifest["rows"] == 5 and manifest["rule"] == "audit_record: 7 years"
    text = gzip.decompress((folder / f"{name}.csv.gz").read_bytes()).decode()
    assert text.startswith("chain,number,before,hash,id,at,") and "ç" in text
    assert f"{manifest['sha256']}  {name}.csv.gz\n" == (folder / "SHA256SUMS").read_text()

    code, checked = command("audit", "--verify", "--archive", str(folder))
    assert (code, checked["findings"], checked["archived"]) == (0, [], 5)
    anchor = next(
        f"bank:3:{bytes(digest).hex()}"
        for (chain, number), digest in before.items()
        if (str(chain), number) == (bank, 3)
    )
    assert command("audit", "--verify", "--anchor", anchor)[0] == 0
    assert command("audit", "--verify", "--anchor", anchor[:-4] + "0000")[0] == 1
    inside = f"bank:2:{bytes(before[desk.institution.pk, 2]).hex()}"
    assert command("audit", "--verify", "--anchor", inside)[0] == 1, "it stands in a file that was not named"
    assert command("audit", "--verify", "--anchor", inside, "--archive", str(folder))[0] == 0
    assert retention(folder) == (
        0,
        {"folder": str(folder), "dry_run": False, "archived": [], "kept": [], "users_forgotten": []},
    )


def test_a_file_that_was_tampered_with_is_named(desk: Desk, folder: Path) -> None:
    name = month("audit_record")
    month("audit_seal")
    records(3)
    age_records()  # their ids are of one moment now, in whatever order
    ((number,),) = sql(
        "SELECT s.number FROM audit_seal s JOIN audit_record r ON r.id = s.id WHERE r.resource = 'thing/1'"
    )
    assert retention(folder)[0] == 0
    file = folder / f"{name}.csv.gz"
    sound = file.read_bytes()
    file.write_bytes(gzip.compress(gzip.decompress(sound).replace(b"thing/1", b"thing/9"), mtime=0))
    code, checked = command("audit", "--verify", "--archive", str(folder))
    assert code == 1 and "its SHA-256 is not that of its manifest" in checked["findings"][0]["detail"]
    manifest = json.loads((folder / f"{name}.json").read_text())
    changed = file.read_bytes()
    manifest["sha256"] = archive.archive_files._digest(file)
    manifest["sha256_of_csv"] = hashlib.sha256(gzip.decompress(changed)).hexdigest()
    (folder / f"{name}.json").write_text(json.dumps(manifest))
    code, checked = command("audit", "--verify", "--archive", str(folder))
    kinds = {(each["kind"], each["number"]) for each in checked["findings"]}
    assert code == 1 and kinds == {("archive", None), ("changed", number)}
    file.unlink()
    code, checked = command("audit", "--verify", "--archive", str(folder))
    assert code == 1 and "is missing" in checked["findings"][0]["detail"]


def test_records_that_are_not_what_was_sealed_stay(desk: Desk, folder: Path) -> None:
    name = month("audit_record")
    month("audit_seal")
    records(3)
    age_records()
    with unguarded():
        sql("UPDATE audit_record SET actor = 'me' WHERE resource = 'thing/1'")
    code, told = retention(folder)
    assert code == 1 and "was changed: see audit --verify" in told["kept"][0]["kept"]
    assert sql(f"SELECT count(*) FROM {name}") == [(3,)]


@pytest.mark.parametrize("moment", ["before the file is whole", "before it is checked", "before the commit"])
def test_it_may_be_killed_at_any_point(
    desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    name = month("audit_record")
    month("audit_seal")
    records(3)
    age_records()

    class Killed(BaseException):
        pass

    def kill(*args: Any, **options: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        if moment == "before the file is whole":
            patch.setattr(archive.archive_files, "_digest", kill)
        elif moment == "before it is checked":
            patch.setattr(archive, "_runs", kill)
        else:
            patch.setattr(archive, "record", kill)
        with pytest.raises(Killed):
            retention(folder)
    assert sql(f"SELECT count(*) FROM {name}") == [(3,)], "nothing is lost"
    assert sql("SELECT count(*) FROM audit_archive") == [(0,)]
    code, told = retention(folder)
    assert code == 0 and told["archived"][0]["rows"] == 3
    assert command("audit", "--verify", "--archive", str(folder))[0] == 0


def test_trades_go_with_their_day_and_orders_once_they_are_closed(desk: Desk, folder: Path) -> None:
    """And everything else still agrees with what is left."""
    alice, bob = desk.user(USDT="1000", BTC="1"), desk.user(USDT="1000", BTC="1")
    desk.trade(alice, "BUY", "0.5", "100")
    desk.trade(bob, "SELL", "0.5", "100")
    orders = month("trading_order")
    trades = partition("trading_trade", LONG_AGO, LONG_AGO + timedelta(days=1))
    age_market()
    desk.reload()
    young = desk.trade(alice, "BUY", "0.5", "100")
    desk.trade(bob, "SELL", "0.2", "100")

    code, told = retention(folder, "--dry-run")
    assert code == 0 and [each["name"] for each in told["archived"]] == [trades, orders]
    code, told = retention(folder)
    assert (code, [(each["name"], each["rows"]) for each in told["archived"]]) == (
        0,
        [(trades, 1), (orders, 2)],
    )
    assert sql("SELECT count(*) FROM trading_order") == [(2,)] and desk.order(young).filled_quantity > 0
    assert sql("SELECT count(*) FROM trading_clientorder") == [(2,)]
    header = gzip.decompress((folder / f"{orders}.csv.gz").read_bytes()).decode().splitlines()[0]
    assert header.startswith("id,") and header.endswith(",fingerprint")
    code, checked = command("verify", "--replay")
    broken = {each["name"]: each["first"] for each in checked["checks"] if each["result"] == "breach"}
    assert broken == {} and code == 0, json.dumps(broken)


def age_market() -> None:
    """As if what happened so far had happened long ago: ids everywhere, journal and ledger too."""
    with unguarded():
        for table, columns in {
            "trading_order": ["id"],
            "trading_clientorder": ["order_id"],
            "trading_trade": ["id", "buyer_order_id", "seller_order_id"],
            "trading_transaction": ["id"],
            "trading_posting": ["id", "transaction_id"],
        }.items():
            changes = ", ".join(f"{name} = {old().replace('id::text', f'{name}::text')}" for name in columns)
            sql(f"UPDATE {table} SET {changes}")
        sql(
            "UPDATE trading_order SET created_at = created_at - interval '9 years',"
            " closed_at = closed_at - interval '9 years'"
        )
        sql("DELETE FROM trading_ledgerunsealed")
        sql("INSERT INTO trading_ledgerunsealed (ids) SELECT array_agg(id) FROM trading_transaction")
        sql("DELETE FROM events_outboxevent")
        journal = "SELECT id, commands FROM matching_journalbatch"
        prefix = str(ids.floor(LONG_AGO + timedelta(hours=1)))[:13].encode()
        for key, commands in sql(journal):
            envelopes = archive_journal(bytes(commands), prefix.decode())
            sql("UPDATE matching_journalbatch SET commands = %s WHERE id = %s", envelopes, key)


def archive_journal(commands: bytes, prefix: str) -> bytes:
    aged = [
        structs.replace(each, command=structs.replace(each.command, id=prefix + each.command.id[13:]))
        for each in decode_envelopes(commands)
    ]
    return msgpack.encode(aged)


def test_users_are_forgotten_ten_years_after_they_were_closed(desk: Desk, folder: Path) -> None:
    """The row stays, as accounts point to it; a user who was closed later is left alone."""
    old, young, alive = (User.objects.get(pk=desk.user(USDT="10")) for _ in range(3))
    for user in (old, young, alive):
        KycProfile.objects.create(user=user, institution=desk.institution, level=2)
        KnownDevice.objects.create(
            user=user, fingerprint="x", name="x", first_seen_at=LONG_AGO, last_seen_at=LONG_AGO
        )
    now = datetime.now(UTC)
    User.objects.filter(pk=old.pk).update(closed_at=now - timedelta(days=3654), is_active=False)
    User.objects.filter(pk=young.pk).update(closed_at=now - timedelta(days=3640), is_active=False)
    assert retention(folder, "--dry-run")[1]["users_forgotten"] == [str(old.pk)]
    assert KycProfile.objects.count() == 3
    assert retention(folder)[1]["users_forgotten"] == [str(old.pk)]
    assert retention(folder)[1]["users_forgotten"] == []
    assert set(KycProfile.objects.values_list("user", flat=True)) == {young.pk, alive.pk}
    assert set(KnownDevice.objects.values_list("user", flat=True)) == {young.pk, alive.pk}
    old.refresh_from_db()
    assert old.email == f"{old.pk}@erased.invalid" and not old.has_usable_password()
    (told,) = sql("SELECT new FROM audit_record WHERE action = 'retention.user'")
    assert json.loads(told[0])["deleted"] == {"kyc.kycprofile": 1, "members.knowndevice": 1}
