"""Orders that are durable and not matched yet, as the commands that placed them.

A PENDING order is its own command: the worker reads it here when it starts and while Redis is away, the sweep
when the stream lost it, and a cancel sends it ahead of itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from exchange.base import ids
from exchange.base.database import array, own_connection
from matching.codec import Envelope, Ticket
from trading.models import Order
from trading.orders.order import INSTRUMENT, SELECTED, WIDTH, read_terms
from trading.reference.catalog import Market, catalog

LIMIT = 1000
SLACK = timedelta(minutes=1)  # an id is as old as its request, and a slow database commits that later
LOWEST, HIGHEST = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"

_PENDING = f"""
    WITH o AS MATERIALIZED (
        SELECT * FROM trading_order WHERE instrument_id = ANY (%s) AND closed_at IS NULL AND status = 'PENDING'
           AND id BETWEEN %s AND %s ORDER BY id LIMIT %s)
    SELECT {SELECTED}, o.number, o.hold_account_id, o.receive_account_id, fees.id, o.maker_fee_rate, o.taker_fee_rate,
           o.client_order_id, o.trace_id
      FROM o
      JOIN trading_instrument i ON i.id = o.instrument_id
      JOIN trading_account receive ON receive.id = o.receive_account_id
      JOIN trading_account fees ON fees.institution_id = receive.institution_id
                               AND fees.asset_id = receive.asset_id AND fees.kind = 'FEES'
     ORDER BY o.id"""


def read_pending_orders(
    connection: psycopg.Connection[Any],
    markets: Mapping[int, Market],
    first: str = LOWEST,
    last: str = HIGHEST,
) -> list[Envelope]:
    """The pending orders of some markets (by instrument id) with ids from `first` to `last`, oldest first, at
    most LIMIT.
    """
    rows = connection.execute(_PENDING, (array(markets), first, last, LIMIT)).fetchall()
    return [_envelope(row, markets[row[INSTRUMENT]]) for row in rows]


def resend(orders: Iterable[Order]) -> list[tuple[str, Envelope]]:
    """With its group, the command of each order that is pending still."""
    found = []
    for order in orders:
        market, order_id = catalog.by_id(order.instrument_id), str(order.pk)
        places = read_pending_orders(own_connection(), {market.id: market}, order_id, order_id)
        found += [(market.group, place) for place in places]
    return found


class PendingOrders:
    """The pending orders of a worker's markets, without a look at old orders again."""

    def __init__(self, markets: Mapping[int, Market]) -> None:
        self._markets = markets
        self._since = LOWEST

    def read(self, connection: psycopg.Connection[Any], until: datetime | None = None) -> list[Envelope]:
        """Those made before `until` (else all), oldest first, at most LIMIT."""
        settled = str(ids.floor((until or datetime.now(UTC)) - SLACK))
        last = HIGHEST if until is None else str(ids.floor(until))
        places = read_pending_orders(connection, self._markets, self._since, last)
        self._since = min(settled, places[0].command.id) if places else settled
        return places


def _envelope(row: tuple[Any, ...], market: Market) -> Envelope:
    number, hold, receive, fees, maker_rate, taker_rate, name, trace_id = row[WIDTH:]
    ticket = Ticket(number, hold, receive, fees, maker_rate, taker_rate, name)
    return Envelope(read_terms(row[:WIDTH], market.collar_ppm), trace_id, "", ticket)
