"""Positions from the stream of trades: each trade once, and in order.

The cursor of a market says up to which number its trades are counted, under a lock that all who write its
positions hold. An event that comes again is below it and does nothing; where numbers are missing between it
and an event (the stream began later than the market, or lost a trade to the dead letters), the trades are
read from the table, which is the truth. So a position never waits for an operator (docs/decisions/023).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection, transaction

from exchange.base.database import array
from risk.models import valuation_queue
from risk.portfolio.average_cost import Holding, bought, sold

AT_ONCE = 5_000  # trades that one call reads from the table at most

_LOCK = """
    INSERT INTO risk_positioncursor (symbol, number)
    SELECT s, 0 FROM unnest(%s::text[]) AS s ORDER BY s ON CONFLICT DO NOTHING"""
_CURSORS = "SELECT symbol, number FROM risk_positioncursor WHERE symbol = ANY (%s) ORDER BY symbol FOR UPDATE"
_ADVANCE = "UPDATE risk_positioncursor SET number = %s WHERE symbol = %s"
_TRADES = """
    SELECT t.number, t.price, t.quantity, t.buyer_id::text, t.seller_id::text, t.buyer_fee, t.seller_fee
      FROM read_trade t JOIN read_instrument i ON i.id = t.instrument_id
     WHERE i.symbol = %s AND t.number > %s AND t.number <= %s ORDER BY t.number LIMIT %s"""
_READ = """
    SELECT user_id::text, quantity, cost, realised, trades FROM risk_position
     WHERE symbol = %s AND user_id = ANY (%s::uuid[])"""
_WRITE = """
    INSERT INTO risk_position (user_id, symbol, quantity, cost, realised, trades, changed_at)
    SELECT u, %s, q, c, r, t, now()
      FROM unnest(%s::uuid[], %s::numeric[], %s::numeric[], %s::numeric[], %s::bigint[]) AS n (u, q, c, r, t)
        ON CONFLICT (user_id, symbol) DO UPDATE
       SET quantity = EXCLUDED.quantity, cost = EXCLUDED.cost, realised = EXCLUDED.realised,
           trades = EXCLUDED.trades, changed_at = EXCLUDED.changed_at"""
_LATEST = """
    SELECT i.symbol, t.number FROM read_instrument i
      JOIN LATERAL (SELECT number FROM read_trade WHERE instrument_id = i.id
                     ORDER BY number DESC LIMIT 1) AS t ON true
      LEFT JOIN risk_positioncursor c ON c.symbol = i.symbol
     WHERE t.number > coalesce(c.number, 0) ORDER BY i.symbol"""


class Fill(NamedTuple):
    number: int
    price: Decimal
    quantity: Decimal
    buyer: str
    seller: str
    buyer_fee: Decimal
    seller_fee: Decimal


def fill_of(payload: dict[str, Any]) -> Fill:
    """From the payload of TRADE_EXECUTED. Raises KeyError, ValueError or decimal's InvalidOperation."""
    return Fill(
        int(payload["number"]),
        Decimal(payload["price"]),
        Decimal(payload["quantity"]),
        payload["buyer_user_id"],
        payload["seller_user_id"],
        Decimal(payload["buyer_fee"]),
        Decimal(payload["seller_fee"]),
    )


def count(fills: Iterable[tuple[str, Fill]]) -> None:
    """Take fills, each with its market, into the positions; in the caller's transaction."""
    by_market: dict[str, list[Fill]] = {}
    for symbol, fill in fills:
        by_market.setdefault(symbol, []).append(fill)
    cursors = _lock(by_market)
    for symbol in sorted(by_market):
        _count(symbol, cursors[symbol], sorted(by_market[symbol]))


def catch_up(most: int = AT_ONCE) -> int:
    """Count trades whose events have not come, market by market; how many. Each market commits by itself."""
    with connection.cursor() as cursor:
        cursor.execute(_LATEST)
        behind: list[tuple[str, int]] = cursor.fetchall()
    done = 0
    for symbol, latest in behind:
        with transaction.atomic():
            number = _lock([symbol])[symbol]
            missing = _table(symbol, number, latest, most - done)
            _take(symbol, missing)
        done += len(missing)
        if done >= most:
            break
    return done


def rebuild(symbol: str) -> None:
    """Drop what a market's trades came to, for `catch_up` to count them again; in the caller's transaction."""
    with connection.cursor() as cursor:
        _lock([symbol])
        cursor.execute("DELETE FROM risk_position WHERE symbol = %s", [symbol])
        cursor.execute(_ADVANCE, [0, symbol])


def _lock(symbols: Iterable[str]) -> dict[str, int]:
    names = list(symbols)
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [names])
        cursor.execute(_CURSORS, [names])
        return dict(cursor.fetchall())


def _count(symbol: str, number: int, fills: Sequence[Fill]) -> None:
    """The fills beyond `number`. What is missing before one is read from the table, and if that is too much
    for once, the rest is left to `catch_up`."""
    taken: list[Fill] = []
    for fill in fills:
        if fill.number <= number:
            continue
        if fill.number > number + 1:
            room = AT_ONCE - len(taken)
            missing = _table(symbol, number, fill.number - 1, room) if room > 0 else []
            taken += missing
            number = missing[-1].number if missing else number
            if fill.number != number + 1:
                break
        taken.append(fill)
        number = fill.number
    _take(symbol, taken)


def _table(symbol: str, after: int, until: int, most: int) -> list[Fill]:
    with connection.cursor() as cursor:
        cursor.execute(_TRADES, [symbol, after, until, most])
        return [Fill(*row) for row in cursor.fetchall()]


def _take(symbol: str, fills: Sequence[Fill]) -> None:
    if not fills:
        return
    users = sorted({user for fill in fills for user in (fill.buyer, fill.seller)})
    holdings = dict.fromkeys(users, Holding())
    with connection.cursor() as cursor:
        cursor.execute(_READ, [symbol, array(users)])
        holdings |= {user: Holding(*rest) for user, *rest in cursor.fetchall()}
        for fill in fills:
            holdings[fill.buyer] = bought(holdings[fill.buyer], fill.price, fill.quantity, fill.buyer_fee)
            holdings[fill.seller] = sold(holdings[fill.seller], fill.price, fill.quantity, fill.seller_fee)
        columns = [array(column) for column in zip(*holdings.values(), strict=True)]
        cursor.execute(_WRITE, [symbol, array(holdings), *columns])
        cursor.execute(_ADVANCE, [fills[-1].number, symbol])
    valuation_queue.enqueue(users)
