"""Who does what with which event: consumer group → (topic, event type) → handler.

The one dispatch table; it stands at the top because handlers are of every layer. They are named, and imported when
a process consumes for their group. What is not named here a group passes over.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from types import ModuleType

from exchange.platform.events.event import Handler
from exchange.platform.events.topics import ACCOUNTS, ORDERS, TRADES

HANDLERS: dict[str, dict[tuple[str, str], str]] = {
    "notifications": {
        (ORDERS, "ORDER_STATUS_CHANGED"): "exchange.platform.notifications.handlers.orders",
        (ACCOUNTS, "DEPOSITED"): "exchange.platform.notifications.handlers.deposits",
        (ACCOUNTS, "SIGNED_IN"): "exchange.platform.notifications.handlers.sign_ins",
        (ACCOUNTS, "WITHDRAWAL_STATUS_CHANGED"): "exchange.platform.notifications.handlers.withdrawals",
    },
    "surveillance": {
        (TRADES, "TRADE_EXECUTED"): "risk.event_handlers.traded",
        (ORDERS, "ORDER_STATUS_CHANGED"): "risk.event_handlers.ordered",
        (ACCOUNTS, "DEPOSITED"): "risk.event_handlers.deposited",
        (ACCOUNTS, "ADJUSTED"): "risk.event_handlers.deposited",
        (ACCOUNTS, "WITHDRAWAL_STATUS_CHANGED"): "risk.event_handlers.deposited",
    },
    "analytics": {
        (TRADES, "TRADE_EXECUTED"): "exchange.platform.analytics.volume.add_trades",
    },
}

# Seconds for which a group collects events: no user waits for it by the millisecond, and it shares the database.
COLLECT: dict[str, float] = {"notifications": 0.25, "surveillance": 0.25}

# What runs beside a group, in each process that consumes for it: a module with `start` and `stop`.
BESIDE: dict[str, str] = {"notifications": "exchange.platform.notifications.sender"}


def handlers(group: str) -> dict[tuple[str, str], Handler]:
    """Raises KeyError for a group that is not in the table, ImportError for a handler that does not exist."""
    return {event: _imported(name) for event, name in HANDLERS[group].items()}


def beside(groups: Iterable[str]) -> list[ModuleType]:
    return [import_module(BESIDE[group]) for group in groups if group in BESIDE]


def _imported(name: str) -> Handler:
    module, _, function = name.rpartition(".")
    try:
        handler: Handler = getattr(import_module(module), function)
    except AttributeError as error:
        raise ImportError(f"there is no {name}") from error
    return handler
