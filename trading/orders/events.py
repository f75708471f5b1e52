"""Outbox lines: the events of orders, trades, markets and books.

Each function gives a ready line as `exchange.platform.events.outbox.line` does: the envelope is built as text because
it is written once and forwarded as it is. Everything put in is known to need no escaping: ids, decimals,
symbols, statuses and a checked trace id.
"""

from __future__ import annotations

from collections.abc import Sequence

from exchange.base import ids
from matching.core.order_terms import OrderTerms
from matching.order_view import TermTexts


def order_event(
    terms: OrderTerms,
    texts: TermTexts,
    *,
    number: int,
    symbol: str,
    status: str,
    filled_quantity: str,
    remaining_quantity: str,
    reason: str,
    trace_id: str,
    timestamp: str,
) -> str:
    """`order.events`, keyed by user: the order's state after a change. `texts` are those of `terms`."""
    limit = f'"{texts.price}"' if texts.price else "null"
    return (
        f'order.events\t{terms.user}\t{{"event_type":"ORDER_STATUS_CHANGED","event_id":"{ids.uuid7()}",'
        f'"schema_version":1,"timestamp":"{timestamp}","trace_id":"{trace_id}","payload":{{"order_id":"{terms.id}",'
        f'"number":{number},"user_id":"{terms.user}","symbol":"{symbol}","side":"{texts.side}",'
        f'"order_type":"{texts.type}","quantity":"{texts.quantity}","price":{limit},"status":"{status}",'
        f'"filled_quantity":"{filled_quantity}","remaining_quantity":"{remaining_quantity}","reason":"{reason}"}}}}\n'
    )


def trade_event(
    *,
    trade_id: str,
    number: int,
    symbol: str,
    price: str,
    quantity: str,
    buyer_order: str,
    seller_order: str,
    buyer: str,
    seller: str,
    buyer_fee: str,
    seller_fee: str,
    is_buyer_maker: bool,
    trace_id: str,
    timestamp: str,
) -> str:
    """`trade.events`, keyed by symbol; the event's id is the trade's."""
    return (
        f'trade.events\t{symbol}\t{{"event_type":"TRADE_EXECUTED","event_id":"{trade_id}",'
        f'"schema_version":1,"timestamp":"{timestamp}","trace_id":"{trace_id}","payload":{{"trade_id":"{trade_id}",'
        f'"number":{number},"symbol":"{symbol}","buyer_order_id":"{buyer_order}","seller_order_id":"{seller_order}",'
        f'"buyer_user_id":"{buyer}","seller_user_id":"{seller}","price":"{price}","quantity":"{quantity}",'
        f'"buyer_fee":"{buyer_fee}","seller_fee":"{seller_fee}","is_buyer_maker":{str(is_buyer_maker).lower()}}}}}\n'
    )


def market_event(*, symbol: str, status: str, trace_id: str, timestamp: str) -> str:
    """`order.events`, keyed by symbol: a market was halted or resumed."""
    return (
        f'order.events\t{symbol}\t{{"event_type":"MARKET_STATUS_CHANGED","event_id":"{ids.uuid7()}",'
        f'"schema_version":1,"timestamp":"{timestamp}","trace_id":"{trace_id}",'
        f'"payload":{{"symbol":"{symbol}","status":"{status}"}}}}\n'
    )


def book_event(
    *,
    symbol: str,
    sequence: int,
    bids: Sequence[tuple[str, str]],
    asks: Sequence[tuple[str, str]],
    trace_id: str,
    timestamp: str,
) -> str:
    """`orderbook.updates`, keyed by symbol: the levels that a settlement changed, each with its new quantity, 0
    where it is gone. `sequence` is that of the last command in it."""
    return (
        f'orderbook.updates\t{symbol}\t{{"event_type":"BOOK_CHANGED","event_id":"{ids.uuid7()}",'
        f'"schema_version":1,"timestamp":"{timestamp}","trace_id":"{trace_id}","payload":{{"symbol":"{symbol}",'
        f'"sequence":{sequence},"bids":[{_levels(bids)}],"asks":[{_levels(asks)}]}}}}\n'
    )


def _levels(levels: Sequence[tuple[str, str]]) -> str:
    return ",".join(f'["{price}","{quantity}"]' for price, quantity in levels)
