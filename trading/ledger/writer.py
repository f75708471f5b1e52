"""The only writer of ledger rows. Each function needs an open transaction and gets it as an argument.

Balances are not written here, nor anywhere else in Python: the database derives them from postings and holds
(`migrations/sql/ledger.sql`, docs/decisions/002). A posting's id is its transaction's with an ordinal, see
`exchange.base.ids.part`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db import connection

from exchange.base.database import Transaction
from exchange.base.ids import part
from matching.core.scale import minor_text


@dataclass(slots=True)
class Entries:
    """Ledger rows of one settlement, as COPY lines."""

    transactions: list[str] = field(default_factory=list)
    postings: list[str] = field(default_factory=list)

    def add(
        self,
        transaction_id: str,
        kind: str,
        trace_id: str,
        created_at: str,
        postings: Iterable[tuple[int, int, int, int]],
    ) -> None:
        """One balanced transaction; `postings` are (account, asset, amount in minor units, asset scale),
        zeros left out."""
        self.transactions.append(f"{transaction_id}\t{kind}\t{trace_id}\t{created_at}\n")
        ordinal = 0
        for account, asset, amount, scale in postings:
            if amount:
                ordinal += 1
                posting_id, text = part(transaction_id, ordinal), minor_text(amount, scale)
                self.postings.append(f"{posting_id}\t{transaction_id}\t{account}\t{asset}\t{text}\n")


def write_transactions(tx: Transaction, entries: Entries) -> None:
    tx.copy("trading_transaction", "id, kind, trace_id, created_at", entries.transactions)


def write_postings(tx: Transaction, entries: Entries) -> None:
    tx.copy("trading_posting", "id, transaction_id, account_id, asset_id, amount", entries.postings)


def book(entries: Entries) -> None:
    """Write all of them in Django's open transaction: for what goes together with rows that Django writes."""
    assert connection.in_atomic_block, "ledger rows commit with the change that they are about"
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO trading_transaction (id, kind, trace_id, created_at) VALUES (%s, %s, %s, %s)",
            [line[:-1].split("\t") for line in entries.transactions],
        )
        cursor.executemany(
            "INSERT INTO trading_posting (id, transaction_id, account_id, asset_id, amount)"
            " VALUES (%s, %s, %s, %s, %s)",
            [line[:-1].split("\t") for line in entries.postings],
        )
