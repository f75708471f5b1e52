"""Commands of operators on orders and markets: a reason that says something, and the way to the matcher."""

from __future__ import annotations

from django.db import transaction

from matching.codec import Envelope, encode
from trading.models import PendingCommand
from trading.orders.dispatch import Dispatcher

REASON_LENGTH = 200


_dispatcher = Dispatcher()


def checked_reason(reason: str) -> str:
    """Raises ValueError."""
    reason = reason.strip()
    if not reason or len(reason) > REASON_LENGTH:
        raise ValueError(f"a reason is needed, of at most {REASON_LENGTH} characters")
    return reason


def send_changes(commands: dict[str, list[Envelope]]) -> None:
    """Make commands durable in the open transaction, by group, and send them when it has committed."""
    PendingCommand.objects.bulk_create(
        PendingCommand(
            id=envelope.command.id,
            group=group,
            order_id=getattr(envelope.command, "order", None),
            kind=type(envelope.command).__name__,
            envelope=encode(envelope),
        )
        for group, batch in commands.items()
        for envelope in batch
    )
    transaction.on_commit(lambda: _dispatcher.send(commands))
