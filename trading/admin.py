"""Registers the admin pages of trading, which are in `trading.backoffice`."""

from trading.backoffice import (  # noqa: F401 - they register themselves
    adjustments,
    fees,
    instruments,
    ledger,
    orders,
    payments,
    trades,
)
