"""What every step of a payment leaves behind, in the transaction that takes it: ledger rows, an event, a record."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.db import connection, transaction

from exchange.base import ids
from exchange.base.decimals import plain
from exchange.platform.audit.log import record
from exchange.platform.events import outbox
from exchange.platform.events.topics import ACCOUNTS
from exchange.platform.members.models import User
from trading.ledger import writer
from trading.ledger.accounts import publish_balance_change
from trading.models import Account, Deposit, Transaction, Withdrawal


def book(payment: Deposit | Withdrawal, trace_id: str) -> str:
    """Post it against the institution's CUSTODY account; the ledger transaction's id."""
    asset, inward = payment.asset, isinstance(payment, Deposit)
    kind = Transaction.Kind.DEPOSIT if inward else Transaction.Kind.WITHDRAWAL
    account = payment.account_id if isinstance(payment, Deposit) else payment.hold_account_id
    institution_id = payment.user.institution_id
    assert institution_id is not None, "only a member of an institution has payments"
    custody, _ = Account.objects.get_or_create(
        kind=Account.Kind.CUSTODY, institution_id=institution_id, user=None, asset=asset
    )
    minor = int(payment.amount.scaleb(asset.scale)) * (1 if inward else -1)
    legs = [(account, asset.pk, minor, asset.scale), (custody.pk, asset.pk, -minor, asset.scale)]
    transaction_id, entries = ids.uuid7(), writer.Entries()
    entries.add(transaction_id, kind, trace_id, datetime.now(UTC).isoformat(), legs)
    writer.book(entries)
    return transaction_id


def settle() -> None:
    """Apply now what the commit would: balances, and the checks of what was booked."""
    names = "ledger_movement_applied, postings_balance, payment_booked"
    with connection.cursor() as cursor:
        cursor.execute(f"SET CONSTRAINTS {names} IMMEDIATE")
        cursor.execute(f"SET CONSTRAINTS {names} DEFERRED")


def record_step(payment: Deposit | Withdrawal, was: str, *, by: User, trace_id: str) -> None:
    """The event, the audit record, and a message to those who follow the balances. `was` is empty for a new one."""
    name = "deposit" if isinstance(payment, Deposit) else "withdrawal"
    user_id, amount = str(payment.user_id), plain(payment.amount)
    payload: dict[str, Any] = {
        f"{name}_id": str(payment.pk),
        "user_id": user_id,
        "asset": payment.asset.code,
        "amount": amount,
        "status": payment.state,
        "previous": was,
        "reason": payment.reason,
        "transaction_id": str(payment.transaction_id) if payment.transaction_id else None,
    }
    event_type = f"{name.upper()}_STATUS_CHANGED"
    outbox.append(ACCOUNTS, user_id, event_type, payload, trace_id=trace_id)
    if payment.state == "CONFIRMED":
        deposited = {
            "user_id": user_id,
            "asset": payment.asset.code,
            "amount": amount,
            "transaction_id": payload["transaction_id"],
        }
        outbox.append(ACCOUNTS, user_id, "DEPOSITED", deposited, trace_id=trace_id)
    record(
        action=f"{payment.state}_{name.upper()}",
        resource=f"{name}/{payment.pk}",
        actor=str(by.pk),
        role=by.role,
        institution=str(payment.user.institution_id or ""),
        old={"state": was} if was else {},
        new={
            "state": payment.state,
            "asset": payment.asset.code,
            "amount": amount,
            "reason": payment.reason,
            "reference": payment.reference,
        },
        trace_id=trace_id,
    )
    transaction.on_commit(partial(publish_balance_change, [user_id]))
