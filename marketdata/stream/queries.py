"""What channels begin with, read from trading's views by plain SQL: market data does not import trading.

Lists of trades look at the latest week first, which is few partitions, and only then at all. What belongs to a
user comes with `Positions`, which say what of the feed it includes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from exchange.base import ids
from exchange.base.decimals import plain, plain_or_none
from exchange.base.times import rfc3339
from marketdata.stream.markets import Market
from marketdata.stream.messages import Balance, PublicTrade, UserTrade
from matching.order_view import UserOrder, stored_terms

WEEK = timedelta(days=7)
EARLIEST = UUID(int=0)
EXACT_ENOUGH = Context(prec=60)  # to round a quotient once, and rightly

_TRADES = """
    SELECT id, number, price, quantity, is_buyer_maker, executed_at FROM read_trade
     WHERE instrument_id = %s AND id >= %s ORDER BY number DESC LIMIT %s"""

# One row at least: the positions stand in each.
_ORDERS = """
    SELECT c.positions, o.*, i.symbol, i.base, i.quote, i.quote_scale
      FROM (SELECT json_object_agg(group_id, sequence) AS positions FROM matching_checkpoint) AS c
      LEFT JOIN (read_open_order o JOIN read_market i ON i.id = o.instrument_id)
        ON o.user_id = %s AND o.status <> 'PENDING'
     ORDER BY o.id"""
_USER_TRADES = """
    SELECT c.positions, t.id, t.number, t.order_id, i.symbol, t.bought, t.price, t.quantity, t.fee, i.base, i.quote,
           t.is_buyer_maker, t.executed_at
      FROM (SELECT json_object_agg(group_id, sequence) AS positions FROM matching_checkpoint) AS c
      LEFT JOIN ((
            (SELECT id, number, instrument_id, buyer_order_id AS order_id, true AS bought, price, quantity,
                    buyer_fee AS fee, is_buyer_maker, executed_at FROM read_trade
              WHERE buyer_id = %(user)s AND id >= %(since)s ORDER BY id DESC LIMIT %(limit)s)
             UNION ALL
            (SELECT id, number, instrument_id, seller_order_id, false, price, quantity, seller_fee,
                    is_buyer_maker, executed_at FROM read_trade
              WHERE seller_id = %(user)s AND id >= %(since)s ORDER BY id DESC LIMIT %(limit)s)
             ORDER BY id DESC LIMIT %(limit)s) AS t
            JOIN read_market i ON i.id = t.instrument_id) ON true
     ORDER BY t.id"""
_BALANCES = """
    SELECT a.user_id, s.code, a.available, a.held FROM read_balance a JOIN read_asset s ON s.id = a.asset_id
     WHERE a.user_id = ANY (%s::uuid[]) ORDER BY s.code"""

Positions = dict[str, int]  # by group: the sequence up to which what was read includes everything


def rows(sql: str, parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def trades(market: Market, limit: int) -> list[PublicTrade]:
    """The last ones, newest last."""
    found: list[tuple[Any, ...]] = []
    for since in (ids.floor(datetime.now(UTC) - WEEK), EARLIEST):
        found = rows(_TRADES, [market.id, since, limit])
        if len(found) == limit:
            break
    return [
        PublicTrade(
            str(trade_id),
            number,
            market.price(price),
            market.quantity(quantity),
            "SELL" if is_buyer_maker else "BUY",
            is_buyer_maker,
            rfc3339(executed_at, "auto"),
        )
        for trade_id, number, price, quantity, is_buyer_maker, executed_at in reversed(found)
    ]


def open_orders(user: str) -> tuple[Positions, list[UserOrder]]:
    """Oldest first; without those that no matcher has come to."""
    with connection.cursor() as cursor:
        cursor.execute(_ORDERS, [user])
        names = [column.name for column in cursor.description]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return found[0]["positions"] or {}, [_order(row) for row in found if row["id"] is not None]


def user_trades(user: str, limit: int) -> tuple[Positions, list[UserTrade]]:
    """The last ones, newest last."""
    found: list[tuple[Any, ...]] = []
    for since in (ids.floor(datetime.now(UTC) - WEEK), EARLIEST):
        found = rows(_USER_TRADES, {"user": user, "since": since, "limit": limit})
        if len(found) == limit:
            break
    return found[0][0] or {}, [_user_trade(*row[1:]) for row in found if row[1] is not None]


def balances(users: list[str]) -> dict[str, dict[str, Balance]]:
    """By user and asset."""
    found: dict[str, dict[str, Balance]] = {}
    for user, asset, available, held in rows(_BALANCES, [users]):
        balance = Balance(asset, plain(available), plain(held), plain(available + held))
        found.setdefault(str(user), {})[asset] = balance
    return found


def _order(row: dict[str, Any]) -> UserOrder:
    filled, average = row["filled_quantity"], None
    if filled:
        average = EXACT_ENOUGH.divide(row["filled_notional"], filled).quantize(
            Decimal(1).scaleb(-row["quote_scale"]), ROUND_HALF_UP
        )
    return UserOrder(
        **stored_terms(row),
        order_id=str(row["id"]),
        number=row["number"],
        client_order_id=row["client_order_id"],
        symbol=row["symbol"],
        trigger_price=plain_or_none(row["trigger_price"]),
        filled_quantity=plain(filled),
        remaining_quantity=plain(row["remaining_quantity"]),
        average_price=plain_or_none(average),
        fee=plain(row["fee"]),
        fee_asset=row["base"] if row["side"] == "BUY" else row["quote"],
        status=row["status"],
        reason=row["reason"] or None,
    )


def _user_trade(
    trade_id: UUID,
    number: int,
    order_id: UUID,
    symbol: str,
    bought: bool,
    price: Decimal,
    quantity: Decimal,
    fee: Decimal,
    base: str,
    quote: str,
    is_buyer_maker: bool,
    executed_at: datetime,
) -> UserTrade:
    return UserTrade(
        trade_id=str(trade_id),
        number=number,
        order_id=str(order_id),
        symbol=symbol,
        side="BUY" if bought else "SELL",
        price=plain(price),
        quantity=plain(quantity),
        fee=plain(fee),
        fee_asset=base if bought else quote,
        liquidity="MAKER" if is_buyer_maker is bought else "TAKER",
        executed_at=rfc3339(executed_at, "auto"),
    )
