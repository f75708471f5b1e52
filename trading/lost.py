"""Commands that are durable but never reached a matcher: found in PostgreSQL and sent again.

The worker applies what is still pending, once, so sending too often does no harm.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from exchange import ids
from matching.codec import Envelope, Ticket, decode_envelope
from matching.core.commands import Place
from matching.core.types import OrderType, SelfTradePrevention, Side, TimeInForce
from trading.catalog import catalog
from trading.models import Account, Order, PendingCommand
from trading.status import Status

LIMIT = 2000  # commands sent again at a time
AGE = timedelta(seconds=2)  # by then a matcher that is well has come to it
SLACK = timedelta(minutes=1)  # an id is as old as its request, and a slow database commits that later


class LostCommands:
    """Finds them without looking at old orders again: all before `_seen` have been matched."""

    def __init__(self) -> None:
        self._seen: str | None = None

    def find(self, now: datetime | None = None) -> dict[str, list[Envelope]]:
        """Commands older than `AGE` that are still pending, by group, oldest first."""
        before = (now or datetime.now(UTC)) - AGE
        found: dict[str, list[Envelope]] = defaultdict(list)
        for order in self._pending_orders(before):
            found[catalog.by_id(order.instrument_id).group].append(envelope_of(order))
        for command in PendingCommand.objects.filter(created_at__lt=before).order_by("id")[:LIMIT]:
            found[command.group].append(decode_envelope(command.envelope))
        return dict(found)

    def _pending_orders(self, before: datetime) -> list[Order]:
        upper = str(ids.floor(before))
        orders = Order.objects.filter(closed_at__isnull=True, status=Status.PENDING, pk__lt=upper)
        if self._seen is not None:
            orders = orders.filter(pk__gte=self._seen)
        pending = list(orders.order_by("pk")[:LIMIT])
        settled = str(ids.floor(before - SLACK))
        self._seen = min(settled, str(pending[0].pk)) if pending else settled
        return pending


def envelope_of(order: Order) -> Envelope:
    """The command that placed `order`, made anew from its row."""
    market = catalog.by_id(order.instrument_id)
    scale = market.scale
    bound = scale.to_ticks(order.bound)
    stop_price = 0 if order.stop_price is None else scale.to_ticks(order.stop_price)
    quantity = scale.to_lots(order.quantity)
    assert bound is not None and stop_price is not None and quantity is not None, (
        "a stored order is in ticks and lots"
    )
    receive = Account.objects.get(pk=order.receive_account_id)
    fees = Account.objects.get(
        kind=Account.Kind.FEES, institution_id=receive.institution_id, asset_id=receive.asset_id
    )
    place = Place(
        id=str(order.pk),
        instrument=order.instrument_id,
        user=str(order.user_id),
        side=Side[order.side],
        type=OrderType(order.type),
        time_in_force=TimeInForce(order.time_in_force),
        price=bound,
        quantity=quantity,
        stop_price=stop_price,
        post_only=order.post_only,
        prevention=SelfTradePrevention(order.prevention),
        collar_ppm=market.collar_ppm,
    )
    ticket = Ticket(
        order.number,
        order.hold_account_id,
        order.receive_account_id,
        fees.pk,
        order.maker_fee_rate,
        order.taker_fee_rate,
    )
    return Envelope(place, order.trace_id, "", ticket)
