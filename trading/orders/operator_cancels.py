"""Orders that operators take out of the books: one, a user's, a market's, an institution's, or what is all of these.

    which are open → audit record and durable Cancel or CancelAll commands, in the caller's transaction → stream

The matchers apply them in order with all others, in every status of a market; order rows, events and feeds say
OPERATOR_CANCELLED. An order that is still PENDING is sent ahead of its cancel, as it may have been lost on its way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from exchange.base.ids import uuid7
from exchange.platform.audit import log as audit
from exchange.platform.members.models import Institution, User
from matching.codec import Envelope
from matching.core.commands import Cancel, CancelAll
from matching.core.types import Reason
from matching.order_status import OrderStatus
from trading.models import Order
from trading.orders.dispatch import Dispatcher
from trading.orders.operator_commands import checked_reason, send_changes
from trading.orders.pending import resend
from trading.reference.catalog import Market, catalog

AT_ONCE = 500  # commands in one entry of a stream

_dispatcher = Dispatcher()


@dataclass(frozen=True, slots=True)
class Scope:
    """Open orders that fit all that is named; at least one must be."""

    order: UUID | None = None
    user: User | None = None
    market: Market | None = None
    institution: Institution | None = None

    def orders(self) -> QuerySet[Order]:
        found = Order.objects.filter(closed_at__isnull=True)
        if self.order is not None:
            found = found.filter(pk=self.order)
        if self.user is not None:
            found = found.filter(user_id=self.user.pk)
        if self.market is not None:
            found = found.filter(instrument_id=self.market.id)
        if self.institution is not None:
            found = found.filter(user__institution_id=self.institution.pk)
        return found

    def __str__(self) -> str:
        """As audit records name it: user/… market/BTC/USDT."""
        named = [
            f"order/{self.order}" if self.order else "",
            f"user/{self.user.pk}" if self.user else "",
            f"market/{self.market.symbol}" if self.market else "",
            f"institution/{self.institution.pk}" if self.institution else "",
        ]
        return " ".join(filter(None, named))


@dataclass(slots=True)
class CancelRequest:
    """How many orders were open, and the commands that take them out."""

    scope: str
    orders: int
    trace_id: str
    commands: list[str] = field(default_factory=list)


def cancel_orders(scope: Scope, *, reason: str, by: str, trace_id: str = "") -> CancelRequest:
    """A transaction must be open. Raises ValueError without a reason, or for a scope that names nothing."""
    reason, trace_id = checked_reason(reason), trace_id or uuid7()
    if not str(scope):
        raise ValueError("say which orders: one, a user's, a market's or an institution's")
    request = CancelRequest(str(scope), scope.orders().count(), trace_id)
    commands: dict[str, list[Envelope]] = defaultdict(list)
    for instrument, command in _commands(scope):
        commands[catalog.by_id(instrument).group].append(Envelope(command, trace_id))
        request.commands.append(command.id)
    audit.record(
        action="orders.cancel",
        resource=request.scope,
        actor=by,
        institution=_institution(scope),
        new={"orders": request.orders, "reason": reason},
        trace_id=trace_id,
    )
    pending = list(
        scope.orders().filter(status=OrderStatus.PENDING).order_by("pk").values_list("pk", flat=True)
    )
    transaction.on_commit(lambda: _resend(pending))
    for group, batch in commands.items():
        for first in range(0, len(batch), AT_ONCE):
            send_changes({group: batch[first : first + AT_ONCE]})
    return request


def _commands(scope: Scope) -> Iterator[tuple[int, Cancel | CancelAll]]:
    """With their instruments: one for an order, else one for each user and market."""
    why = Reason.OPERATOR_CANCELLED
    if scope.order is not None:
        for order in scope.orders():
            yield order.instrument_id, Cancel(uuid7(), order.instrument_id, str(order.pk), why)
        return
    pairs: Any = scope.orders().order_by("instrument_id", "user_id").values_list("user_id", "instrument_id")
    for user, instrument in pairs.distinct():
        yield instrument, CancelAll(uuid7(), instrument, str(user), why)


def _institution(scope: Scope) -> str:
    """Whose record it is: the platform's, where orders of several may be concerned."""
    if scope.order is not None:
        order = Order.objects.select_related("user").filter(pk=scope.order).first()
        return str(order.user.institution_id or "") if order else ""
    if scope.user is not None:
        return str(scope.user.institution_id or "")
    return str(scope.institution.pk) if scope.institution else ""


def _resend(pending: list[UUID]) -> None:
    outgoing: dict[str, list[Envelope]] = defaultdict(list)
    for group, envelope in resend(Order.objects.filter(pk__in=pending).order_by("pk")):
        outgoing[group].append(envelope)
    _dispatcher.send(outgoing)
