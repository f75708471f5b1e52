"""The only writer of ledger rows. Each function needs an open transaction and gets it as an argument.

Balances are not written here, nor anywhere else in Python: the database derives them from postings and holds
(`migrations/sql/ledger.sql`). A posting's id is its transaction's with an ordinal, see `exchange.ids.part`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from exchange.database import Transaction, array
from exchange.ids import part
from matching.core.scale import minor_text


@dataclass(slots=True)
class Entries:
    """Ledger rows of one settlement, as COPY lines, and the accounts they touch."""

    transactions: list[str] = field(default_factory=list)
    postings: list[str] = field(default_factory=list)
    accounts: set[int] = field(default_factory=set)

    def add(
        self, transaction_id: str, kind: str, trace_id: str, created_at: str, postings: Iterable[tuple[int, int, int, int]]
    ) -> None:
        """One balanced transaction; `postings` are (account, asset, amount in minor units, asset scale), zeros left out."""
        self.transactions.append(f"{transaction_id}\t{kind}\t{trace_id}\t{created_at}\n")
        ordinal = 0
        for account, asset, amount, scale in postings:
            if amount:
                ordinal += 1
                self.accounts.add(account)
                self.postings.append(
                    f"{part(transaction_id, ordinal)}\t{transaction_id}\t{account}\t{asset}\t{minor_text(amount, scale)}\n"
                )


def write_transactions(tx: Transaction, entries: Entries) -> None:
    tx.copy("trading_transaction", "id, kind, trace_id, created_at", entries.transactions)


def write_postings(tx: Transaction, entries: Entries) -> None:
    """Locks the accounts until commit: call it last."""
    tx.copy("trading_posting", "id, transaction_id, account_id, asset_id, amount", entries.postings)


def lock_accounts(tx: Transaction, accounts: Sequence[int] | set[int]) -> None:
    """Lock what the following statements will change, in one order for everybody, so that nobody deadlocks."""
    tx.queue(
        "SELECT 1 FROM trading_account WHERE id = ANY (%s::bigint[]) ORDER BY id FOR NO KEY UPDATE", (array(accounts),)
    )
