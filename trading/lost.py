"""Commands that are durable but never reached a matcher: found in PostgreSQL and sent again.

The worker applies what is still pending, once, so sending too often does no harm.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from exchange.database import own_connection
from matching.codec import Envelope, decode_envelope
from trading.catalog import catalog
from trading.models import PendingCommand
from trading.pending import LIMIT, PendingPlaces

AGE = timedelta(seconds=2)  # by then a matcher that is well has come to it


class LostCommands:
    """Finds them without looking at old orders again."""

    def __init__(self) -> None:
        self._places: PendingPlaces | None = None
        self._markets: set[int] = set()

    def find(self, now: datetime | None = None) -> dict[str, list[Envelope]]:
        """Commands older than `AGE` that are still pending, by group, oldest first."""
        before = (now or datetime.now(UTC)) - AGE
        found: dict[str, list[Envelope]] = defaultdict(list)
        for place in self._reader().read(own_connection(), until=before):
            found[catalog.by_id(place.command.instrument).group].append(place)
        for command in PendingCommand.objects.filter(created_at__lt=before).order_by("id")[:LIMIT]:
            found[command.group].append(decode_envelope(command.envelope))
        return dict(found)

    def _reader(self) -> PendingPlaces:
        """One that knows all markets there are; a new market makes a new one."""
        markets = {market.id: market for market in catalog.markets()}
        if self._places is None or self._markets != markets.keys():
            self._places, self._markets = PendingPlaces(markets), set(markets)
        return self._places
