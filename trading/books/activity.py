"""What happened on a day, in figures: orders, trades, volume, fees, and what was posted by kind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg

from exchange.base import ids
from trading.books.balance import Line, plain
from trading.books.day import Bounds

SLACK = timedelta(days=1)  # between the time in an id and the time in its row; it only names the partitions

_ORDERS = """
    SELECT status, count(*) FROM trading_order
     WHERE id >= %s AND id < %s AND created_at >= %s AND created_at < %s GROUP BY status ORDER BY status"""
_TRADES = """
    SELECT instrument.symbol, count(*), sum(quantity), sum(price * quantity)
      FROM trading_trade trade JOIN trading_instrument instrument ON instrument.id = trade.instrument_id
     WHERE trade.id >= %s AND trade.id < %s AND executed_at >= %s AND executed_at < %s
     GROUP BY instrument.symbol ORDER BY instrument.symbol"""
_POSTED = """
    SELECT entry.kind, asset.code, count(DISTINCT entry.id), sum(amount) FILTER (WHERE amount > 0)
      FROM trading_posting posting
      JOIN trading_transaction entry ON entry.id = posting.transaction_id
      JOIN trading_asset asset ON asset.id = posting.asset_id
     WHERE entry.created_at >= %s AND entry.created_at < %s
     GROUP BY entry.kind, asset.code ORDER BY entry.kind, asset.code"""
_HEADS = """
    SELECT coalesce(institution.code, ''), head.number, encode(head.hash, 'hex')
      FROM audit_head head LEFT JOIN members_institution institution ON institution.id = head.chain
     ORDER BY 1"""


def figures(connection: psycopg.Connection[Any], day: Bounds, moved: list[Line]) -> dict[str, Any]:
    """`moved` are the day's own lines of the ledger: what went to FEES are the fees."""
    span = (ids.floor(day.since - SLACK), ids.floor(day.until + SLACK), day.since, day.until)
    orders = dict(connection.execute(_ORDERS, span).fetchall())
    markets = [
        {"symbol": symbol, "trades": count, "base": plain(base), "quote": plain(quote)}
        for symbol, count, base, quote in connection.execute(_TRADES, span)
    ]
    posted = [
        {"kind": kind, "asset": asset, "transactions": count, "amount": plain(amount)}
        for kind, asset, count, amount in connection.execute(_POSTED, (day.since, day.until))
    ]
    fees = [
        {"institution": line.institution, "asset": line.asset, "amount": plain(line.balance)}
        for line in moved
        if line.kind == "FEES"
    ]
    return {
        "orders": sum(orders.values()),
        "orders_by_status": orders,
        "trades": sum(market["trades"] for market in markets),
        "markets": markets,
        "fees": fees,
        "transactions": posted,
    }


def audit_heads(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """The ends of the audit's chains: what is in them cannot change below these without the hashes changing. The
    platform's own has no institution."""
    rows = connection.execute(_HEADS)
    return [{"institution": code, "number": number, "hash": text} for code, number, text in rows]
