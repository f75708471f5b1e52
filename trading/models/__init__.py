"""The trading domain as Django knows it. Hot tables are written by `intake` and `settlement`, in bulk."""

from trading.models.commands import PendingCommand
from trading.models.instruments import Asset, FeeSchedule, Instrument
from trading.models.ledger import Account, Posting, Transaction
from trading.models.orders import ClientOrder, Order
from trading.models.trades import Trade
from trading.models.wallet import Reservation

__all__ = [
    "Account",
    "Asset",
    "ClientOrder",
    "FeeSchedule",
    "Instrument",
    "Order",
    "PendingCommand",
    "Posting",
    "Reservation",
    "Trade",
    "Transaction",
]
