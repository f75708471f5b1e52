"""What requests and answers about deposits and withdrawals look like."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange.base.decimals import plain
from trading.models import Deposit, Withdrawal

AssetCode = Annotated[
    str, Meta(min_length=1, max_length=12, description="an asset's code", examples=["USDT"])
]
Amount = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,15}(\.[0-9]{1,18})?$",
        description="a decimal above zero as text, with no more places than the asset has",
        examples=["250"],
    ),
]
Reference = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        description="your own name for it, new for each",
        examples=["rent-november"],
    ),
]


class RequestDeposit(msgspec.Struct, forbid_unknown_fields=True):
    """Says that money is on its way; it is yours once an operator has confirmed that it came."""

    asset: AssetCode
    amount: Amount
    client_reference: Reference
    source: Annotated[
        str,
        Meta(max_length=200, description="where it comes from, such as an IBAN", examples=["TR33 0006 1005"]),
    ] = ""


class RequestWithdrawal(msgspec.Struct, forbid_unknown_fields=True):
    """The amount is held at once. Sent again with the same `client_reference`, nothing is paid twice."""

    asset: AssetCode
    amount: Amount
    client_reference: Reference
    destination: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            description="where it goes to, such as an IBAN or an address",
            examples=["TR33 0006 1005 1978 6457 8413 26"],
        ),
    ]


class DepositView(msgspec.Struct):
    """`reference` is the bank's, `transaction_id` that of the ledger once it is booked."""

    deposit_id: str
    asset: str
    amount: str
    status: Literal["REQUESTED", "CONFIRMED", "REJECTED", "CANCELLED"]
    source: str
    client_reference: str
    reference: str
    reason: str
    transaction_id: str | None
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None


class DepositPage(msgspec.Struct):
    """Newest first."""

    items: list[DepositView]
    next_cursor: str | None


class WithdrawalView(msgspec.Struct):
    """`held` is what it blocks of your balance: the amount until it is closed."""

    withdrawal_id: str
    asset: str
    amount: str
    held: str
    status: Literal["REQUESTED", "APPROVED", "SENT", "COMPLETED", "REJECTED", "CANCELLED", "FAILED"]
    destination: str
    client_reference: str
    reference: str
    reason: str
    transaction_id: str | None
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None


class WithdrawalPage(msgspec.Struct):
    """Newest first."""

    items: list[WithdrawalView]
    next_cursor: str | None


def deposit_view(row: Deposit, source: str) -> DepositView:
    return DepositView(
        deposit_id=str(row.pk),
        asset=row.asset.code,
        amount=plain(row.amount),
        status=row.state,  # type: ignore[arg-type]
        source=source,
        client_reference=row.client_reference,
        reference=row.reference,
        reason=row.reason,
        transaction_id=str(row.transaction_id) if row.transaction_id else None,
        created_at=row.created_at,
        updated_at=row.updated_at,
        closed_at=row.closed_at,
    )


def withdrawal_view(row: Withdrawal, destination: str) -> WithdrawalView:
    return WithdrawalView(
        withdrawal_id=str(row.pk),
        asset=row.asset.code,
        amount=plain(row.amount),
        held=plain(row.held),
        status=row.state,  # type: ignore[arg-type]
        destination=destination,
        client_reference=row.client_reference,
        reference=row.reference,
        reason=row.reason,
        transaction_id=str(row.transaction_id) if row.transaction_id else None,
        created_at=row.created_at,
        updated_at=row.updated_at,
        closed_at=row.closed_at,
    )
