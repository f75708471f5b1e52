"""Open orders that have to go without their owner's word: of blocked users, and of dead man's switches that ran out.

    who is due → durable CancelAll commands, one transaction → stream

It looks at what is open now, each second, so it may be killed at any point and run again (docs/decisions/008). An order
that is still PENDING is sent ahead of the cancel, as it may have been lost on its way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import psycopg

from exchange.base.database import array, transaction
from exchange.base.ids import uuid7
from exchange.base.origin import Origin
from matching.codec import Envelope, decode_envelope
from matching.core.commands import CancelAll
from matching.core.types import Reason
from matching.order_status import OrderStatus
from trading.models import Order
from trading.orders import audit
from trading.orders.acceptance import write_changes
from trading.orders.batch import OrderChange
from trading.orders.dispatch import Dispatcher
from trading.orders.pending import resend
from trading.reference.catalog import catalog

_RUN_OUT = "DELETE FROM risk_deadman WHERE deadline <= now() RETURNING user_id::text"
_BLOCKED = """
    SELECT DISTINCT o.user_id::text, o.instrument_id
      FROM risk_block b
      JOIN members_user u ON u.id = b.user_id OR u.institution_id = b.institution_id
      JOIN trading_order o ON o.user_id = u.id AND o.closed_at IS NULL
     WHERE b.lifted_at IS NULL"""
_OPEN = """
    SELECT DISTINCT user_id::text, instrument_id FROM trading_order
     WHERE user_id = ANY (%s::uuid[]) AND closed_at IS NULL"""
_ON_THE_WAY = "SELECT envelope FROM trading_pendingcommand WHERE kind = 'CancelAll'"

Pair = tuple[str, int]  # user, instrument


def cancel_due(connection: psycopg.Connection[Any], dispatcher: Dispatcher) -> int:
    """Send what is due; how many cancels. May raise psycopg.Error: then nothing has changed."""
    with transaction(connection) as tx:
        run_out, blocked, on_the_way = tx.fetch((_RUN_OUT, ()), (_BLOCKED, ()), (_ON_THE_WAY, ()))
        of_blocked: set[Pair] = set(blocked)
        # A block is looked at again, a switch is not: a cancel on the way may be older than an order of its user's.
        due = of_blocked - {_pair(decode_envelope(row[0])) for row in on_the_way}
        if run_out:
            (open_now,) = tx.fetch((_OPEN, (array(user for (user,) in run_out),)))
            due |= set(open_now)
        changes = [
            _change(pair, audit.BLOCKED if pair in of_blocked else audit.RUN_OUT) for pair in sorted(due)
        ]
        write_changes(tx, changes)
        if changes:
            audit.record_changes(tx, changes)
    if changes:
        dispatcher.send(_outgoing(changes))
    return len(changes)


def _pair(envelope: Envelope) -> Pair:
    command = envelope.command
    assert isinstance(command, CancelAll), command
    return command.user, command.instrument


def _change(pair: Pair, origin: Origin) -> OrderChange:
    """A dead man's switch is its owner's own word, a block an operator's."""
    user, instrument = pair
    reason = Reason.OPERATOR_CANCELLED if origin is audit.BLOCKED else Reason.USER_CANCELLED
    command = CancelAll(uuid7(), instrument, user, reason)
    envelope = Envelope(command, f"cancel-{command.id}")
    return OrderChange(catalog.by_id(instrument).group, envelope, origin=origin)


def _outgoing(changes: Sequence[OrderChange]) -> dict[str, list[Envelope]]:
    users = {_pair(change.envelope)[0] for change in changes}
    pending = Order.objects.filter(user_id__in=users, closed_at__isnull=True, status=OrderStatus.PENDING)
    outgoing: dict[str, list[Envelope]] = defaultdict(list)
    for group, envelope in resend(pending.order_by("pk")):
        outgoing[group].append(envelope)
    for change in changes:
        outgoing[change.group].append(change.envelope)
    return outgoing
