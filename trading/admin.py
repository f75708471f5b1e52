"""Registers the admin pages of trading, which are in `trading.backoffice`."""

from trading import adjustments_admin, fees_admin, payments_admin  # noqa: F401 - their pages register themselves
from trading.backoffice import instruments, ledger, orders, trades  # noqa: F401 - the same
