"""Accounts: who has which, and funding them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import redis

from exchange.base import ids, redis_keys
from exchange.base.database import own_connection, transaction
from exchange.base.redis import Circuit, client
from exchange.platform.events import outbox
from exchange.platform.events.topics import ACCOUNTS
from exchange.platform.events.wakeup import wake_relay
from exchange.platform.members.models import User
from matching.core.scale import minor_text
from trading.ledger import writer
from trading.models import Account, Asset, Transaction


class AccountKey(NamedTuple):
    owner: str  # user id, or institution id for house accounts
    asset: int


class AccountBook:
    """Account ids by owner and asset. An account is never deleted, so what was found once is kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: dict[AccountKey, int] = {}
        self._fees: dict[AccountKey, int] = {}
        self._wallet: dict[AccountKey, int] = {}

    def of_user(self, user_id: str, institution_id: str, asset: int) -> int:
        """The user's account in `asset`, opened at first need."""
        key = AccountKey(user_id, asset)
        found = self._users.get(key)
        return found if found is not None else self._find(self._users, key, institution_id, Account.Kind.USER)

    def of_fees(self, institution_id: str, asset: int) -> int:
        """The institution's account that fees in `asset` go to."""
        key = AccountKey(institution_id, asset)
        found = self._fees.get(key)
        return found if found is not None else self._find(self._fees, key, institution_id, Account.Kind.FEES)

    def of_wallet(self, institution_id: str, asset: int) -> int:
        """The institution's contra account of what its own wallet service reserves in `asset`."""
        key = AccountKey(institution_id, asset)
        found = self._wallet.get(key)
        kind = Account.Kind.WALLET
        return found if found is not None else self._find(self._wallet, key, institution_id, kind)

    def clear_cache(self) -> None:
        with self._lock:
            self._users.clear()
            self._fees.clear()
            self._wallet.clear()

    def _find(
        self, known: dict[AccountKey, int], key: AccountKey, institution_id: str, kind: Account.Kind
    ) -> int:
        owner: dict[str, Any] = {"user_id": key.owner} if kind == Account.Kind.USER else {}
        account, _ = Account.objects.get_or_create(
            kind=kind, institution_id=institution_id, asset_id=key.asset, **owner
        )
        with self._lock:
            known[key] = account.pk
        return account.pk


account_book = AccountBook()


def deposit(*, user: User, asset: Asset, amount: Decimal, trace_id: str) -> str:
    """Credit `user` with `amount`, against the custody account of the institution; the ledger transaction's
    id.

    Raises ValueError for an amount that is not positive or finer than the asset's scale.
    """
    if not amount.is_finite() or amount <= 0 or amount != round(amount, asset.scale):
        raise ValueError(f"amount must be positive with at most {asset.scale} decimal places, not {amount}")
    assert user.institution_id is not None, "only a member of an institution has accounts"
    target = account_book.of_user(str(user.pk), str(user.institution_id), asset.pk)
    custody, _ = Account.objects.get_or_create(
        kind=Account.Kind.CUSTODY, institution_id=user.institution_id, user=None, asset=asset
    )
    minor = int(amount.scaleb(asset.scale))
    transaction_id, entries = ids.uuid7(), writer.Entries()
    legs = [(target, asset.pk, minor, asset.scale), (custody.pk, asset.pk, -minor, asset.scale)]
    entries.add(transaction_id, Transaction.Kind.DEPOSIT, trace_id, datetime.now(UTC).isoformat(), legs)
    payload = {
        "user_id": str(user.pk),
        "asset": asset.code,
        "amount": minor_text(minor, asset.scale),
        "transaction_id": transaction_id,
    }
    event = outbox.message("DEPOSITED", payload, trace_id=trace_id)
    with transaction(own_connection()) as tx:
        writer.write_transactions(tx, entries)
        writer.write_postings(tx, entries)
        tx.copy(outbox.TABLE, outbox.COLUMNS, [outbox.line(ACCOUNTS, str(user.pk), event)])
    wake_relay()
    publish_balance_change([str(user.pk)])
    return transaction_id


def publish_balance_change(user_ids: Sequence[str]) -> None:
    """Those who follow these users' balances; they see it at their next look if Redis is away."""
    if not _circuit.away():
        try:
            client().publish(redis_keys.USERS, msgspec.json.encode(user_ids))
            _circuit.works()
        except redis.RedisError as error:
            _circuit.failed(error)


_circuit = Circuit()
