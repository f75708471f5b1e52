"""`trades.SYM`: the last trades of a market, and each one that follows.

A trade's number has no gap, so it says by itself what the state includes and if something is missing.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from marketdata.stream import queries
from marketdata.stream.markets import Market
from marketdata.stream.messages import PublicTrade, TradeMessage, Trades, TradesSnapshot
from marketdata.stream.snapshot_channel import LoadedChannel
from marketdata.stream.tasks import Tasks
from matching.feed import Batch, TradeNote

SHOWN = 50


class TradeInBatch(NamedTuple):
    note: TradeNote
    batch: Batch


class TradesChannel(LoadedChannel[list[PublicTrade], TradeInBatch]):
    snapshot_message = TradesSnapshot

    def __init__(self, name: str, market: Market, tasks: Tasks) -> None:
        super().__init__(name, tasks)
        self._market = market
        self._trades: deque[PublicTrade] = deque(maxlen=SHOWN)
        self._last = 0

    def read(self) -> list[PublicTrade]:
        return queries.trades(self._market, SHOWN)

    def adopt(self, found: list[PublicTrade]) -> None:
        self._trades = deque(found, maxlen=SHOWN)
        self._last = found[-1].number if found else 0

    def apply(self, item: TradeInBatch) -> None:
        note = item.note
        if note.number <= self._last:
            return
        if note.number != self._last + 1:
            self.lost()
            return
        trade = PublicTrade(
            note.id,
            note.number,
            note.price,
            note.quantity,
            "SELL" if note.buyer_is_maker else "BUY",
            note.buyer_is_maker,
            item.batch.executed_at,
        )
        self._last = note.number
        self._trades.append(trade)
        self.publish(TradeMessage, trade, item.batch.timestamp)

    def traded(self, note: TradeNote, batch: Batch) -> None:
        self.take(TradeInBatch(note, batch))

    def state(self) -> Trades:
        return Trades(self._market.symbol, list(self._trades))
