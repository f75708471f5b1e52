"""Registers the admin pages of risk, which are in `risk.backoffice`."""

from risk.backoffice import cases, limits, portfolio, surveillance  # noqa: F401 - they register themselves
