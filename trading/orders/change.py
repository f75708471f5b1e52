"""One command on an order that exists, sent through intake: what `cancel_order` and `amend_order` have in common."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from matching.codec import Envelope
from matching.core.commands import Amend, AnyCommand, Cancel
from matching.order_status import OrderStatus
from matching.order_view import OrderView
from trading.models import Order
from trading.orders import amendment_terms, stored
from trading.orders.batch import OrderChange
from trading.orders.intake import Request, intake
from trading.orders.pending import resend
from trading.reference.catalog import catalog

ORDER_NOT_OPEN = "ORDER_NOT_OPEN"


class ChangeOutcome(Enum):
    DONE = "DONE"
    NOT_FOUND = "NOT_FOUND"
    REFUSED = "REFUSED"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    PENDING = "PENDING"


class Changed(NamedTuple):
    order: OrderView | None
    outcome: ChangeOutcome
    reason: str | None = None


def change(
    order: Order,
    command: Cancel | Amend,
    trace_id: str,
    refused: str,
    terms: amendment_terms.AmendmentTerms | None = None,
) -> Changed:
    """Send the command and say what came of it. One that is `refused` already goes the same way, to be recorded
    with the others. Raises psycopg.Error, django.db.Error."""
    market = catalog.by_id(order.instrument_id)
    wanted = OrderChange(
        market.group,
        Envelope(command, trace_id, intake().replies.channel),
        order_id=str(order.pk),
        refused=refused,
    )
    if terms is not None and not refused:
        wanted.hold_account, wanted.reckoned_from = order.hold_account_id, terms.reckoned_from
        wanted.hold, wanted.hold_scale = terms.extra_hold, terms.scale
    request = Request(changes=[wanted])
    if order.status == OrderStatus.PENDING and not refused:
        request.before = resend([order])
    intake().submit(request, lambda: not stored.any_command([command.id]))
    return _changed(order, wanted, request)


def _changed(order: Order, change: OrderChange, request: Request) -> Changed:
    command = change.envelope.command
    reply = request.replies.get(command.id)
    late = reply is None and not change.refused and stored.any_command([command.id])
    now = stored.own_order(str(order.user_id), str(order.pk))  # read last: what is not late is in it
    assert now is not None, "orders are never deleted"
    view = stored.order_view(now)
    if change.refused == ChangeOutcome.INSUFFICIENT_FUNDS.value:
        return Changed(view, ChangeOutcome.INSUFFICIENT_FUNDS, change.refused)
    if late:
        return Changed(view, ChangeOutcome.PENDING)
    refused = change.refused or (reply.refused if reply is not None else _without_effect(command, now))
    if refused:
        return Changed(view, ChangeOutcome.REFUSED, refused)
    return Changed(view, ChangeOutcome.DONE)


def _without_effect(command: AnyCommand, order: Order) -> str:
    """For a command whose reply was lost: why it did nothing to its order, or nothing if it took effect."""
    if isinstance(command, Amend):
        terms = amendment_terms.terms(order, None, None)
        reached = (terms.worst_price, terms.quantity) == (command.price, command.quantity)
    else:
        reached = order.status == OrderStatus.CANCELLED
    if reached:
        return ""
    return ORDER_NOT_OPEN if order.closed_at is not None else "AMENDMENT_REFUSED"
