"""Registers the admin pages of trading, which are in `trading.backoffice`."""

from trading.backoffice import adjustments, fees, instruments, ledger, orders, payments, trades  # noqa: F401
