"""Commands that are durable but never reached a matcher: found in PostgreSQL and sent again.

The worker applies what is still pending, once, so sending too often does no harm.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from exchange.database import own_connection
from matching.codec import Envelope, decode_envelope
from trading.catalog import Market, catalog
from trading.models import PendingCommand
from trading.pending import LIMIT, PendingPlaces

AGE = timedelta(seconds=2)  # by then a matcher that is well has come to it


class LostCommands:
    """Finds them without looking at old orders again; a group that is down does not hide the others'."""

    def __init__(self) -> None:
        self._places: dict[str, PendingPlaces] = {}
        self._markets: dict[int, Market] = {}

    def find(self, now: datetime | None = None) -> dict[str, list[Envelope]]:
        """Commands older than `AGE` that are still pending, by group, oldest first."""
        before = (now or datetime.now(UTC)) - AGE
        found = {}
        for group, places in self._readers().items():
            changes = PendingCommand.objects.filter(group=group, created_at__lt=before).order_by("id")[:LIMIT]
            lost = places.read(own_connection(), until=before)
            lost += [decode_envelope(row.envelope) for row in changes]
            if lost:
                found[group] = sorted(lost, key=lambda envelope: envelope.command.id)
        return found

    def _readers(self) -> dict[str, PendingPlaces]:
        """One a group, knowing all its markets; a new market makes new ones."""
        markets = {market.id: market for market in catalog.markets()}
        if self._markets.keys() != markets.keys():
            groups = {market.group for market in markets.values()}
            self._places = {
                group: PendingPlaces({m.id: m for m in markets.values() if m.group == group})
                for group in groups
            }
            self._markets = markets
        return self._places
