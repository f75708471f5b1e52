"""What the consumer group `surveillance` does with each event; `exchange.operations.event_dispatch` names these.

All of it runs in the consumer's transaction, so its effects come exactly once.
"""

from __future__ import annotations

from decimal import InvalidOperation

from exchange.platform.events.event import Event, Poison, in_batches
from risk.models import valuation_queue
from risk.portfolio import positions
from risk.surveillance import ingestion


@in_batches
def traded(events: list[Event]) -> None:
    """TRADE_EXECUTED: into the positions, and into what surveillance looks at."""
    positions.count(_fill(event) for event in events)
    ingestion.keep_trades(events)


@in_batches
def ordered(events: list[Event]) -> None:
    """ORDER_STATUS_CHANGED: into what surveillance looks at."""
    ingestion.keep_orders(events)


@in_batches
def deposited(events: list[Event]) -> None:
    """DEPOSITED, ADJUSTED, WITHDRAWAL_STATUS_CHANGED: a portfolio is worth something else."""
    valuation_queue.enqueue(_user(event) for event in events)


def _fill(event: Event) -> tuple[str, positions.Fill]:
    try:
        return event.payload["symbol"], positions.fill_of(event.payload)
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise Poison(f"no trade: {error!r}") from error


def _user(event: Event) -> str:
    try:
        return str(event.payload["user_id"])
    except KeyError as error:
        raise Poison(f"no deposit: {error!r}") from error
