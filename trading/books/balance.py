"""The trial balance: what stood on the accounts at any moment, added up from postings and nothing else.

A posting belongs to the time that its transaction says (docs/decisions/022). In the ledger a positive balance is what
is owed to others (USER, FEES), which a bank calls a credit, and a negative one what it has for that (CUSTODY), a debit;
per asset both sides are equal at every moment, because the postings of each transaction are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg

ZERO = Decimal(0)

_TRIAL = """
    SELECT asset.code, institution.code, account.kind, count(*), sum(of_account.postings),
           sum(of_account.debits), sum(of_account.credits), sum(of_account.credits - of_account.debits)
      FROM (SELECT posting.account_id, count(*) AS postings,
                   coalesce(-sum(amount) FILTER (WHERE amount < 0), 0) AS debits,
                   coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS credits
              FROM trading_posting posting JOIN trading_transaction entry ON entry.id = posting.transaction_id
             WHERE entry.created_at >= %s AND entry.created_at < %s
             GROUP BY posting.account_id) AS of_account
      JOIN trading_account account ON account.id = of_account.account_id
      JOIN trading_asset asset ON asset.id = account.asset_id
      JOIN members_institution institution ON institution.id = account.institution_id
     GROUP BY asset.code, institution.code, account.kind ORDER BY asset.code, institution.code, account.kind"""
_KEPT = """
    SELECT asset.code, institution.code, account.kind, sum(available + held)
      FROM trading_account account
      JOIN trading_asset asset ON asset.id = account.asset_id
      JOIN members_institution institution ON institution.id = account.institution_id
     GROUP BY 1, 2, 3"""
BEGINNING = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Line:
    """Accounts of one kind of one institution in one asset. `debits` and `credits` are what was moved, without sign."""

    asset: str
    institution: str
    kind: str
    accounts: int
    postings: int
    debits: Decimal
    credits: Decimal
    balance: Decimal

    @property
    def key(self) -> Key:
        return self.asset, self.institution, self.kind

    @property
    def debit(self) -> Decimal:
        return max(-self.balance, ZERO)

    @property
    def credit(self) -> Decimal:
        return max(self.balance, ZERO)


@dataclass(frozen=True, slots=True)
class Total:
    asset: str
    debit: Decimal
    credit: Decimal

    @property
    def balanced(self) -> bool:
        return self.debit == self.credit


def lines(connection: psycopg.Connection[Any], until: datetime, since: datetime = BEGINNING) -> list[Line]:
    """What was posted from `since` to before `until`."""
    return [Line(*row) for row in connection.execute(_TRIAL, (since, until))]


def totals(of: Iterable[Line]) -> list[Total]:
    """Debit and credit by asset."""
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    for line in of:
        debit, credit = sums.get(line.asset, (ZERO, ZERO))
        sums[line.asset] = debit + line.debit, credit + line.credit
    return [Total(asset, *both) for asset, both in sorted(sums.items())]


def kept(connection: psycopg.Connection[Any]) -> dict[Key, Decimal]:
    """What the accounts themselves say now: what the trial balance of now must come to."""
    return {
        (asset, institution, kind): total for asset, institution, kind, total in connection.execute(_KEPT)
    }


def differences(found: Iterable[Line], kept: dict[Key, Decimal]) -> list[str]:
    """Where accounts say other than their postings."""
    posted = {line.key: line.balance for line in found}
    return [
        f"{institution} {kind} {asset}: postings sum to {plain(posted.get(key, ZERO))}, accounts have {plain(total)}"
        for key, total in sorted(kept.items())
        for asset, institution, kind in [key]
        if total != posted.get(key, ZERO)
    ]


def as_row(line: Line) -> dict[str, Any]:
    return {
        "asset": line.asset,
        "institution": line.institution,
        "kind": line.kind,
        "accounts": line.accounts,
        "postings": int(line.postings),
        "debit": plain(line.debit),
        "credit": plain(line.credit),
    }


def as_total(total: Total) -> dict[str, Any]:
    return {"asset": total.asset, "debit": plain(total.debit), "credit": plain(total.credit)}


def plain(value: Decimal) -> str:
    """In plain notation, without zeros at the end; a nought is 0."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
