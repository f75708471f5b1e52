"""From the event stream into the windows; all of it in the consumer's transaction, so that it counts once.

A batch takes three statements, however many events are in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

import msgspec
from django.db import connection

from exchange.base import ids
from exchange.platform.events.event import Event, Poison
from risk.detectors.displayed import OrderUpdate, follow
from risk.detectors.records import DisplayedOrder, Side

JOBS = ("orders", "hour", "day", "week")  # what looks at a market, each with a cursor

_TRADES = """
    INSERT INTO risk_seentrade (id, symbol, at, price, quantity, buyer_id, seller_id, buyer_order_id,
                                seller_order_id, buyer_is_maker)
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::timestamptz[], %s::numeric[], %s::numeric[], %s::uuid[],
                         %s::uuid[], %s::uuid[], %s::uuid[], %s::bool[])
        ON CONFLICT (id) DO NOTHING"""
_CURSORS = """
    INSERT INTO risk_surveillancecursor (symbol, job)
    SELECT symbol, job FROM unnest(%s::text[]) AS symbol, unnest(%s::text[]) AS job ORDER BY 1, 2
        ON CONFLICT DO NOTHING"""
_LAST_DISPLAYED = """
    SELECT DISTINCT ON (order_id) order_id::text, leg, user_id::text, side, price, quantity, filled_before, filled,
           withdrawn, (extract(epoch FROM opened_at) * 1000000)::bigint,
           (extract(epoch FROM closed_at) * 1000000)::bigint
      FROM risk_shownorder WHERE order_id = ANY (%s::uuid[]) ORDER BY order_id, leg DESC"""
_STORE = """
    INSERT INTO risk_shownorder (order_id, leg, user_id, symbol, side, price, quantity, filled_before, filled,
                                 withdrawn, opened_at, closed_at)
    SELECT order_id, leg, user_id, symbol, side, price, quantity, filled_before, filled, withdrawn,
           to_timestamp(opened / 1000000.0), to_timestamp(closed / 1000000.0)
      FROM unnest(%s::uuid[], %s::int[], %s::uuid[], %s::text[], %s::text[], %s::numeric[], %s::numeric[],
                  %s::numeric[], %s::numeric[], %s::numeric[], %s::bigint[], %s::bigint[])
           AS t(order_id, leg, user_id, symbol, side, price, quantity, filled_before, filled, withdrawn, opened,
                closed)
     ORDER BY order_id, leg
        ON CONFLICT (order_id, leg) DO UPDATE SET quantity = excluded.quantity, filled = excluded.filled,
           withdrawn = excluded.withdrawn, closed_at = excluded.closed_at"""


class _Last(msgspec.Struct):
    """What the book last showed of an order, while a batch is worked through; `number` counts its prices."""

    number: int
    filled_before: Decimal
    displayed: DisplayedOrder


def keep_trades(events: Sequence[Event]) -> None:
    """TRADE_EXECUTED events. Raises Poison for what is none."""
    try:
        rows = [
            (
                e.payload["trade_id"],
                e.payload["symbol"],
                e.moment,
                Decimal(e.payload["price"]),
                Decimal(e.payload["quantity"]),
                e.payload["buyer_user_id"],
                e.payload["seller_user_id"],
                e.payload["buyer_order_id"],
                e.payload["seller_order_id"],
                bool(e.payload["is_buyer_maker"]),
            )
            for e in events
        ]
    except (KeyError, TypeError, InvalidOperation) as error:
        raise Poison(f"no trade: {error!r}") from error
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(_TRADES, [list(column) for column in zip(*rows, strict=True)])
        cursor.execute(_CURSORS, [sorted({row[1] for row in rows}), list(JOBS)])


def keep_orders(events: Sequence[Event]) -> None:
    """ORDER_STATUS_CHANGED events, those of one order in the order in which they happened. Raises Poison for what
    is none."""
    try:
        updates = [(e.payload["symbol"], e.payload["order_type"], _update(e)) for e in events]
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise Poison(f"no order: {error!r}") from error
    last = _last_displayed({one.order for _, _, one in updates})
    changed: dict[tuple[str, int], tuple[str, _Last]] = {}
    for symbol, order_type, one in updates:
        known = last.get(one.order)
        # A stop is shown from when it is triggered, any other order from when it was accepted.
        placed = _micros(ids.moment(one.order)) if order_type == "LIMIT" else one.at
        stored = follow(
            known.displayed if known else None, known.filled_before if known else Decimal(0), one, placed
        )
        for displayed in stored:
            begun = (displayed.opened, displayed.price)
            if known and (known.displayed.opened, known.displayed.price) == begun:
                known = _Last(known.number, known.filled_before, displayed)
            else:
                known = _Last(known.number + 1 if known else 0, one.filled, displayed)
            last[one.order] = known
            changed[one.order, known.number] = symbol, known
    _store(changed.values())


def _update(event: Event) -> OrderUpdate:
    payload = event.payload
    return OrderUpdate(
        order=payload["order_id"],
        user=payload["user_id"],
        side=Side(payload["side"]),
        price=None if payload["price"] is None else Decimal(payload["price"]),
        quantity=Decimal(payload["quantity"]),
        filled=Decimal(payload["filled_quantity"]),
        remaining=Decimal(payload["remaining_quantity"]),
        status=payload["status"],
        reason=payload["reason"],
        at=_micros(event.moment),
    )


def _last_displayed(orders: Iterable[str]) -> dict[str, _Last]:
    with connection.cursor() as cursor:
        cursor.execute(_LAST_DISPLAYED, [list(orders)])
        return {
            row[0]: _Last(row[1], row[6], DisplayedOrder(row[0], row[2], Side(row[3]), *row[4:6], *row[7:]))
            for row in cursor.fetchall()
        }


def _store(changed: Iterable[tuple[str, _Last]]) -> None:
    rows = [
        (
            last.displayed.order,
            last.number,
            last.displayed.user,
            symbol,
            last.displayed.side,
            last.displayed.price,
            last.displayed.quantity,
            last.filled_before,
            last.displayed.filled,
            last.displayed.withdrawn,
            last.displayed.opened,
            last.displayed.closed,
        )
        for symbol, last in changed
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_STORE, [list(column) for column in zip(*rows, strict=True)])


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
