"""Books and a heartbeat for readers, in Redis each second. Never used for recovery.

`book:{symbol}`   {symbol, epoch, sequence, timestamp, bids: [[price, quantity], …], asks: …}, best first, at
most DEPTH levels a side
`matcher:{group}` {epoch, sequence, timestamp}, gone a few seconds after its worker
`tops`            hash of instrument id → "bid ask" in ticks, 0 for an empty side: after each batch
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import redis

from exchange.base import redis_keys
from exchange.base.times import now_text
from matching import feed
from matching.core.engine import Engine
from matching.core.scale import InstrumentScale

DEPTH = 500
HEARTBEAT_SECONDS = 5
SNAPSHOT_SECONDS = 1.0


@dataclass
class SnapshotWriter:
    client: redis.Redis
    group: str
    epoch: int = 0
    symbols: Mapping[int, tuple[str, InstrumentScale]] = field(default_factory=dict)

    def top(self, engine: Engine, instrument: int) -> str:
        book = engine.books[instrument]
        return f"{book.best_bid or 0} {book.best_ask or 0}"

    def write(self, engine: Engine, sequence: int) -> None:
        timestamp = now_text()
        pipe = self.client.pipeline(transaction=False)
        tops: dict[Any, Any] = {}
        for instrument, (symbol, scale) in self.symbols.items():
            bids, asks = engine.books[instrument].depth(DEPTH)
            book = {
                "symbol": symbol,
                "epoch": self.epoch,
                "sequence": sequence,
                "timestamp": timestamp,
                "bids": _levels(bids, scale),
                "asks": _levels(asks, scale),
            }
            pipe.set(redis_keys.book(symbol), msgspec.json.encode(book))
            tops[str(instrument)] = self.top(engine, instrument)
        if tops:
            pipe.hset(redis_keys.TOPS, mapping=tops)
        beat = {"epoch": self.epoch, "sequence": sequence, "timestamp": timestamp}
        pipe.set(redis_keys.matcher(self.group), msgspec.json.encode(beat), ex=HEARTBEAT_SECONDS)
        feed.publish(pipe, feed.Batch(self.group, self.epoch, sequence, sequence, timestamp))
        pipe.execute()


def _levels(levels: list[tuple[int, int]], scale: InstrumentScale) -> list[list[str]]:
    return [[scale.price_text(price), scale.quantity_text(lots)] for price, lots in levels]
