"""Commands that are durable but never reached a matcher: found in PostgreSQL and sent again.

The worker applies what is still pending, once, so sending too often does no harm. A command that was written for
the group that its market has left is its new group's.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from exchange.base.database import own_connection
from matching.codec import Envelope, decode_envelope
from trading.models import PendingCommand
from trading.orders.pending import LIMIT, PendingOrders
from trading.reference.catalog import catalog

AGE = timedelta(seconds=2)  # by then a matcher that is well has come to it


class UnacknowledgedCommands:
    """Finds them without looking at old orders again; a group that is down does not hide the others'."""

    def __init__(self) -> None:
        self._pending_orders: dict[str, PendingOrders] = {}
        self._groups: dict[int, str] = {}  # of each market

    def find(self, now: datetime | None = None) -> dict[str, list[Envelope]]:
        """Commands older than `AGE` that are still pending, by group, oldest first."""
        before = (now or datetime.now(UTC)) - AGE
        found: dict[str, list[Envelope]] = defaultdict(list)
        for group, pending_orders in self._readers().items():
            found[group] += pending_orders.read(own_connection(), until=before)
        for group in PendingCommand.objects.order_by("group").values_list("group", flat=True).distinct():
            changes = PendingCommand.objects.filter(group=group, created_at__lt=before).order_by("id")[:LIMIT]
            for row in changes:
                envelope = decode_envelope(row.envelope)
                found[self._owner(row, envelope)].append(envelope)
        return {
            group: sorted(envelopes, key=lambda envelope: envelope.command.id)
            for group, envelopes in found.items()
            if envelopes
        }

    def _owner(self, row: PendingCommand, envelope: Envelope) -> str:
        """The group that is to apply it; a row that names another one is put right."""
        group = self._groups.get(envelope.command.instrument, row.group)
        if group != row.group:
            PendingCommand.objects.filter(pk=row.pk).update(group=group)
        return group

    def _readers(self) -> dict[str, PendingOrders]:
        """One a group, knowing all its markets; a market that is new, or was moved, makes new ones."""
        markets = {market.id: market for market in catalog.markets()}
        groups = {market.id: market.group for market in markets.values()}
        if self._groups != groups:
            self._pending_orders = {
                group: PendingOrders({m.id: m for m in markets.values() if m.group == group})
                for group in set(groups.values())
            }
            self._groups = groups
        return self._pending_orders
