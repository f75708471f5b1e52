"""Handler of `trade.events`: adds trades to the daily volumes, in one statement for all that came together.

The consumer calls it once for each event, so a sum is all it takes. Amounts are added up by PostgreSQL, where they
are exact; users stand in order, so that two processes do not meet crosswise.
"""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, NamedTuple

import msgspec
from django.db import connection

from exchange.base.database import array
from exchange.platform.events.event import UUID, Event, Poison, in_batches

Amount = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,18}(\.[0-9]{1,18})?$")]

_ADD = """
    INSERT INTO analytics_dailyvolume AS kept
           (day, symbol, institution_id, "user", trades, bought_quantity, bought_notional, sold_quantity,
            sold_notional)
    SELECT day, symbol, member.institution_id, user_id, count(*),
           coalesce(sum(quantity) FILTER (WHERE buys), 0), coalesce(sum(price * quantity) FILTER (WHERE buys), 0),
           coalesce(sum(quantity) FILTER (WHERE NOT buys), 0),
           coalesce(sum(price * quantity) FILTER (WHERE NOT buys), 0)
      FROM unnest(%s::date[], %s::text[], %s::numeric[], %s::numeric[], %s::uuid[], %s::uuid[])
           AS trade (day, symbol, price, quantity, buyer, seller)
     CROSS JOIN LATERAL (VALUES (buyer, true), (seller, false)) AS side (user_id, buys)
      LEFT JOIN members_user AS member ON member.id = user_id
     GROUP BY day, symbol, member.institution_id, user_id
     ORDER BY day, symbol, member.institution_id, user_id
        ON CONFLICT (day, symbol, institution_id, "user") DO UPDATE
       SET trades = kept.trades + excluded.trades,
           bought_quantity = kept.bought_quantity + excluded.bought_quantity,
           bought_notional = kept.bought_notional + excluded.bought_notional,
           sold_quantity = kept.sold_quantity + excluded.sold_quantity,
           sold_notional = kept.sold_notional + excluded.sold_notional"""


class _Trade(msgspec.Struct):
    """What of a TRADE_EXECUTED counts here."""

    symbol: str
    price: Amount
    quantity: Amount
    buyer_user_id: UUID
    seller_user_id: UUID


class _Row(NamedTuple):
    day: str
    symbol: str
    price: str
    quantity: str
    buyer: str
    seller: str


@in_batches
def add_trades(events: list[Event]) -> None:
    """Raises Poison."""
    day, symbol, *columns = zip(*map(_row, events), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_ADD, [array(day), list(symbol), *map(array, columns)])


def _row(event: Event) -> _Row:
    try:
        trade = msgspec.convert(event.payload, _Trade)
    except msgspec.ValidationError as error:
        raise Poison(f"no trade: {error}") from error
    day = event.moment.astimezone(UTC).date().isoformat()
    return _Row(day, trade.symbol, trade.price, trade.quantity, trade.buyer_user_id, trade.seller_user_id)
