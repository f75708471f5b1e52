"""What a matcher publishes after each settlement: one message a batch on Redis' channel `feed:{group}`.

Messages of a group are chained: each names the sequence of the one before, so a reader who missed one knows, and
loads the books again from `book:{symbol}`. An empty one comes each second, so that a loss is seen in a quiet
market too. A higher epoch means that another worker has taken over: its books are new, all older messages
are void.

Prices are ticks and quantities lots where a book is kept by them; all else is text, ready to be shown.
"""

from __future__ import annotations

import msgspec
from redis.client import Pipeline

from exchange.base import redis_keys
from matching.order_view import OrderNote

Levels = list[tuple[int, int]]


class BookChange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The levels that a batch touched: (price in ticks, total in lots), 0 where a level is gone; unordered."""

    instrument: int
    bids: Levels
    asks: Levels


class TradeNote(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One trade, in the order of `number`, which is contiguous per instrument. Fees are in the asset received."""

    id: str
    number: int
    instrument: int
    price: str
    quantity: str
    buyer_order: str
    seller_order: str
    buyer: str
    seller: str
    buyer_fee: str
    seller_fee: str
    buyer_is_maker: bool


class Batch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One settlement: commands `previous` (exclusive) to `sequence`. `timestamp` is RFC 3339, when it committed;
    `executed_at` is that of its trades, and earlier."""

    group: str
    epoch: int
    previous: int
    sequence: int
    timestamp: str
    books: list[BookChange] = []
    trades: list[TradeNote] = []
    orders: list[OrderNote] = []
    executed_at: str = ""


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Batch).decode


def publish(pipe: Pipeline, batch: Batch) -> None:
    """Queue `batch` on a pipeline."""
    pipe.publish(redis_keys.feed(batch.group), encode(batch))
