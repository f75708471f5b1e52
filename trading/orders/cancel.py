"""Cancel one order of a user, or all of them."""

from __future__ import annotations

from typing import NamedTuple

from exchange.base.ids import uuid7
from matching.codec import Envelope
from matching.core.commands import Cancel, CancelAll
from matching.order_status import OrderStatus
from matching.order_view import OrderView
from trading.models import Order
from trading.orders import stored
from trading.orders.batch import OrderChange
from trading.orders.change import ORDER_NOT_OPEN, Changed, ChangeOutcome, change
from trading.orders.intake import Request, intake
from trading.orders.pending import resend
from trading.reference.catalog import Market, catalog


def cancel_order(user_id: str, order_id: str, trace_id: str) -> Changed:
    """Cancel one of the user's orders."""
    order = stored.own_order(user_id, order_id)
    if order is None:
        return Changed(None, ChangeOutcome.NOT_FOUND)
    refused = ORDER_NOT_OPEN if order.closed_at is not None else ""
    return change(order, Cancel(uuid7(), order.instrument_id, order_id), trace_id, refused)


class CancelledAll(NamedTuple):
    orders: list[OrderView]  # that were cancelled
    late: bool  # a matcher has not come to it yet; it will


def cancel_all_orders(user_id: str, market: Market | None, trace_id: str) -> CancelledAll:
    """Cancel all open orders of the user, in one market or in all."""
    open_orders = stored.open_orders(user_id, market)
    changes = [
        OrderChange(
            each.group, Envelope(CancelAll(uuid7(), each.id, user_id), trace_id, intake().replies.channel)
        )
        for each in map(catalog.by_id, sorted(set(open_orders.values())))
    ]
    if not changes:
        return CancelledAll([], late=False)
    request = Request(changes=changes)
    pending = Order.objects.filter(pk__in=list(open_orders), status=OrderStatus.PENDING).order_by("pk")
    request.before = resend(pending)
    commands = [change.envelope.command.id for change in changes]
    intake().submit(request, lambda: not stored.any_command(commands))
    late = len(request.replies) < len(commands) and stored.any_command(commands)
    answered = {update.order for reply in request.replies.values() for update in reply.updates}
    views = stored.order_views(answered | open_orders.keys())  # read last: what is not late is in it
    cancelled = [view for _, view in sorted(views.items()) if view.status == OrderStatus.CANCELLED]
    return CancelledAll(cancelled, late)
