"""The depth of each book, kept in PostgreSQL once a minute for ninety days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from marketdata.candles import intervals
from marketdata.models import DepthSnapshot
from marketdata.models.markets import Market, markets
from marketdata.orderbook import queries
from marketdata.orderbook.queries import BookView

LEVELS = 50  # a side
KEPT = timedelta(days=90)
MINUTE = timedelta(minutes=1)

_decode = msgspec.json.Decoder(BookView).decode


def take(now: datetime | None = None) -> int:
    """Keep what the books are now as those of this minute, unless that was done; drop what is too old."""
    minute = intervals.floor(now or datetime.now(UTC), MINUTE)
    taken = [
        DepthSnapshot(
            instrument_id=market.id,
            taken_at=minute,
            sequence=book.sequence,
            bids=book.bids,
            asks=book.asks,
        )
        for market, book in _books()
    ]
    DepthSnapshot.objects.bulk_create(taken, ignore_conflicts=True)
    DepthSnapshot.objects.filter(taken_at__lt=minute - KEPT).delete()
    return len(taken)


def history(
    market: Market, since: datetime | None, until: datetime | None, limit: int
) -> list[DepthSnapshot]:
    """Oldest first, from `since` on and before `until`. Where there are more than `limit`: the first ones after
    `since`, or without `since` the last ones.
    """
    rows = DepthSnapshot.objects.filter(instrument_id=market.id)
    if until is not None:
        rows = rows.filter(taken_at__lt=until)
    if since is not None:
        return list(rows.filter(taken_at__gte=since).order_by("taken_at")[:limit])
    return list(rows.order_by("-taken_at")[:limit])[::-1]


def _books() -> list[tuple[Market, BookView]]:
    bodies = [(market, queries.book(market.symbol, LEVELS)) for market in markets()]
    return [(market, _decode(body)) for market, body in bodies if body is not None]
