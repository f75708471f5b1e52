"""Proofs of what is owed: built from one moment of the ledger, signed, published; and each user's own part of them.

One tree for each institution and asset, because each institution owes its own users. A user's balance (available and
held) is split in two leaves at random; all leaves stand in random order among blinded zeros. Only the root is
published; trees stay in the database for users to ask about their leaves, the newest `KEEP` of each.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from django.db import connection, transaction

from exchange.base import ids
from exchange.base.times import rfc3339
from exchange.platform.audit import log as audit
from trading.books import merkle, signing
from trading.books.balance import plain
from trading.models import SolvencyLeaf, SolvencyLevel, SolvencyProof, SolvencySecret
from trading.verify import check
from trading.verify.snapshot import Snapshot

PARTS = 2
KEEP = 2  # trees of an institution and asset; roots are kept for good
KIND = "proof-of-liabilities"

_TREES = """
    SELECT account.institution_id::text, institution.code, account.asset_id, asset.code, asset.scale,
           coalesce(sum(available + held) FILTER (WHERE kind = 'USER'), 0),
           coalesce(sum(available + held) FILTER (WHERE kind = 'FEES'), 0),
           coalesce(sum(available + held) FILTER (WHERE kind = 'CUSTODY'), 0),
           coalesce(sum(available + held) FILTER (WHERE kind = 'WALLET'), 0)
      FROM trading_account account
      JOIN members_institution institution ON institution.id = account.institution_id
      JOIN trading_asset asset ON asset.id = account.asset_id
     GROUP BY 1, 2, 3, 4, 5
    HAVING count(*) FILTER (WHERE kind = 'USER') > 0
     ORDER BY institution.code, asset.code"""
_BALANCES = """
    SELECT user_id::text, available + held FROM trading_account
     WHERE kind = 'USER' AND institution_id = %s AND asset_id = %s"""
_NOT_ZERO = """
    SELECT asset.code, sum(available + held) FROM trading_account account
      JOIN trading_asset asset ON asset.id = account.asset_id
     GROUP BY asset.code HAVING sum(available + held) <> 0 ORDER BY 1"""
_NODES = """
    SELECT substring(stored.nodes FROM wanted.start FOR %s)
      FROM unnest(%s::integer[], %s::integer[]) AS wanted (level, start)
      JOIN trading_solvencylevel stored ON stored.proof_id = %s AND stored.level = wanted.level
     ORDER BY wanted.level"""


class Refused(Exception):
    """Nothing is published; says why."""


class Owner(NamedTuple):
    """Whose tree, and what the institution's accounts have in that asset. What it keeps, in CUSTODY, is negative."""

    institution_id: str
    institution: str
    asset_id: int
    asset: str
    scale: int
    users: Decimal
    fees: Decimal
    custody: Decimal
    wallet: Decimal

    @property
    def due(self) -> Decimal:
        """What other institutions owe this one, or are owed if below zero: trades cross institutions, custody does not.
        Over all institutions it sums to nought."""
        return self.users + self.fees + self.custody + self.wallet


class Placed(NamedTuple):
    user: str
    part: int
    position: int
    amount: int


@dataclass(frozen=True, slots=True)
class Proof:
    id: str
    owner: Owner
    taken_at: datetime
    secret: bytes
    placed: list[Placed]
    levels: list[bytes]

    @property
    def root(self) -> merkle.Node:
        return merkle.root(self.levels)

    def report(self) -> dict[str, Any]:
        """What is signed and published. It says nothing of any user, nor how many there are."""
        return {
            "kind": KIND,
            "version": 1,
            "id": self.id,
            "institution": self.owner.institution,
            "asset": self.owner.asset,
            "scale": self.owner.scale,
            "taken_at": rfc3339(self.taken_at, "microseconds"),
            "root": self.root.hash.hex(),
            "sum": str(self.root.sum),
            "height": len(self.levels) - 1,
            "owed_to_users": plain(self.owner.users),
            "fees": plain(self.owner.fees),
            "kept_in_custody": plain(-self.owner.custody),
            "kept_in_wallet": plain(-self.owner.wallet),
            "due_from_institutions": plain(self.owner.due),
        }


def check_ledger(taken: Snapshot, progress: Callable[[str], None]) -> None:
    """Accounts are what their postings say, and in each asset all that is owed is covered by what is kept. Raises
    Refused."""
    for found in check.run(taken.connection, check.load("ledger"), progress):
        if found.result == "breach":
            raise Refused(f"{found.rule.says}: not so, {found.first}")
    for asset, total in taken.connection.execute(_NOT_ZERO):
        raise Refused(f"{asset}: what is owed and what is kept differ by {plain(total)}")


def owners(taken: Snapshot) -> list[Owner]:
    return [Owner(*row) for row in taken.connection.execute(_TREES)]


def build(taken: Snapshot, owner: Owner) -> Proof:
    """The tree of one institution and asset."""
    proof, secret = ids.uuid7(), secrets.token_bytes(merkle.HASH)
    parts = list(_split(taken.connection, owner))
    height = merkle.height(len(parts))
    positions = list(range(1 << height))
    secrets.SystemRandom().shuffle(positions)
    placed = [Placed(user, part, positions[at], amount) for at, (user, part, amount) in enumerate(parts)]
    nodes: list[merkle.Node | None] = [None] * (1 << height)
    for each in placed:
        nonce = merkle.nonce(secret, each.user, each.part)
        nodes[each.position] = merkle.leaf(proof, owner.asset, each.user, each.part, nonce, each.amount)
    levels = merkle.build(node or _blind(proof, owner.asset) for node in nodes)
    built = Proof(proof, owner, taken.taken_at, secret, placed, levels)
    assert built.root.sum == _minor(owner.users, owner), "the tree has all that is owed"
    return built


def _split(connection: psycopg.Connection[Any], owner: Owner) -> Iterator[tuple[str, int, int]]:
    with connection.cursor("balances") as cursor:
        cursor.itersize = 5000
        for user, amount in cursor.execute(_BALANCES, (owner.institution_id, owner.asset_id)):
            whole = _minor(amount, owner)
            first = secrets.randbelow(whole + 1)
            yield user, 0, first
            yield user, 1, whole - first


def _minor(amount: Decimal, owner: Owner) -> int:
    """Raises Refused for an amount that the asset has no unit for, and for a negative one."""
    minor = amount.scaleb(owner.scale)
    if minor < 0 or minor != minor.to_integral_value():
        raise Refused(
            f"{owner.institution} {owner.asset}: {plain(amount)} is not a balance with {owner.scale} places"
        )
    return int(minor)


def _blind(proof: str, asset: str) -> merkle.Node:
    """A leaf of no user."""
    return merkle.leaf(proof, asset, str(ids.new()), 0, secrets.token_bytes(merkle.HASH), 0)


# -- publishing


def publish(proofs: list[Proof], key: signing.PrivateKey, folder: Path) -> list[Path]:
    """Signed roots as files, and the trees in the database. The files are in place before the transaction commits."""
    target = folder / "solvency" / rfc3339(proofs[0].taken_at).replace(":", "")
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    with transaction.atomic():
        for proof in proofs:
            text = signing.as_file(signing.sign(proof.report(), key))
            path = target / f"{proof.owner.institution}-{proof.owner.asset}.json"
            path.write_text(text, encoding="utf-8")
            paths.append(path)
            _store(proof, text)
        roots = {f"{each.owner.institution} {each.owner.asset}": each.root.hash.hex() for each in proofs}
        audit.record(action="solvency.published", resource=f"solvency/{target.name}", new=roots)
    return paths


def _store(proof: Proof, text: str) -> None:
    row = SolvencyProof.objects.create(
        id=proof.id,
        institution_id=proof.owner.institution_id,
        asset_id=proof.owner.asset_id,
        taken_at=proof.taken_at,
        height=len(proof.levels) - 1,
        total=proof.owner.users,
        root=proof.root.hash.hex(),
        document=text,
    )
    SolvencySecret.objects.create(proof=row, value=proof.secret)
    SolvencyLevel.objects.bulk_create(
        SolvencyLevel(proof=row, level=level, nodes=nodes) for level, nodes in enumerate(proof.levels)
    )
    SolvencyLeaf.objects.bulk_create(
        (SolvencyLeaf(proof=row, user_id=user, part=part, position=position, amount=amount)
         for user, part, position, amount in proof.placed), batch_size=5000
    )  # fmt: skip
    of_same = SolvencyProof.objects.filter(institution=row.institution_id, asset=row.asset_id)
    old = list(of_same.order_by("-taken_at", "-id").values_list("pk", flat=True)[KEEP:])
    for model in (SolvencyLeaf, SolvencyLevel, SolvencySecret):
        model.objects.filter(proof__in=old).delete()


# -- reading


class Part(NamedTuple):
    """One of the user's leaves, and the siblings on its way to the root."""

    part: int
    position: int
    nonce: bytes
    amount: int
    path: list[merkle.Node]


class Own(NamedTuple):
    proof: SolvencyProof
    parts: list[Part]

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.proof.document)
        return found


def own(user_id: str, institution_id: str) -> list[Own]:
    """The newest proof of each asset, with the user's leaves in it: none where they had no account then."""
    newest = (
        SolvencyProof.objects.filter(institution_id=institution_id)
        .order_by("asset__code", "-taken_at", "-id")
        .distinct("asset__code")
    )
    found = []
    for proof in newest:
        secret = bytes(proof.secret.value)
        rows = SolvencyLeaf.objects.filter(proof=proof, user_id=user_id).order_by("part")
        found.append(
            Own(
                proof,
                [
                    Part(
                        row.part,
                        row.position,
                        merkle.nonce(secret, user_id, row.part),
                        int(row.amount),
                        _path(proof.pk, row.position, proof.height),
                    )
                    for row in rows
                ],
            )
        )
    return found


def _path(proof: UUID, position: int, height: int) -> list[merkle.Node]:
    """Cut out of the stored levels, which are not read as a whole."""
    places = merkle.siblings(position, height)
    starts = [place * merkle.WIDTH + 1 for _, place in places]
    with connection.cursor() as cursor:
        cursor.execute(_NODES, [merkle.WIDTH, [level for level, _ in places], starts, proof])
        return [merkle.unpack(bytes(node)) for (node,) in cursor.fetchall()]
