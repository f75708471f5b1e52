"""The trading domain as Django knows it. Hot tables are written by `intake` and `settlement`, in bulk."""

from trading.models.adjustments import Adjustment
from trading.models.books import (
    DayTotal,
    EndOfDay,
    SolvencyLeaf,
    SolvencyLevel,
    SolvencyProof,
    SolvencySecret,
)
from trading.models.commands import PendingCommand
from trading.models.instruments import Asset, FeeSchedule, Instrument
from trading.models.ledger import Account, Posting, Transaction
from trading.models.moves import Move
from trading.models.orders import ClientOrder, Order
from trading.models.payments import Deposit, Withdrawal
from trading.models.sealing import LedgerSeal, LedgerUnsealed
from trading.models.trades import Trade
from trading.models.wallet import Reservation

__all__ = [
    "Account",
    "Adjustment",
    "Asset",
    "ClientOrder",
    "DayTotal",
    "Deposit",
    "EndOfDay",
    "FeeSchedule",
    "Instrument",
    "LedgerSeal",
    "LedgerUnsealed",
    "Move",
    "Order",
    "PendingCommand",
    "Posting",
    "Reservation",
    "SolvencyLeaf",
    "SolvencyLevel",
    "SolvencyProof",
    "SolvencySecret",
    "Trade",
    "Transaction",
    "Withdrawal",
]
