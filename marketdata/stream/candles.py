"""`candles.SYM.INTERVAL`: the newest two candles, the running one as it grows, and each one's final state.

They are read with the number of the newest trade in them; trades with a higher number are added as the feed
sends them. A candle is closed by the worker's own clock: once a message from after its end has come, no trade
of it can follow. (If a clock is set back one can, and the candles are read again.)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from exchange.base.decimals import plain
from exchange.base.times import rfc3339
from marketdata.candles import intervals, selectors
from marketdata.candles.intervals import WIDTHS
from marketdata.models import Interval
from marketdata.stream.markets import Market
from marketdata.stream.messages import Candle, CandleMessage, Candles, CandlesSnapshot
from marketdata.stream.snapshot_channel import LoadedChannel
from marketdata.stream.tasks import Tasks, Throttle
from marketdata.stream.trades import TradeInBatch
from matching.feed import Batch, TradeNote

SHOWN = 2
PUBLISH_SECONDS = 0.25
LONG_AGO = timedelta(minutes=1)  # no settlement takes as long


@dataclass(slots=True)
class Growing:
    """`end` is a text that all times from the end on are above."""

    start: datetime
    end: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trades: int
    closed: bool = False

    def add(self, price: Decimal, quantity: Decimal) -> None:
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price
        self.volume += quantity
        self.quote_volume += price * quantity
        self.trades += 1


class CandlesChannel(LoadedChannel[tuple[list[selectors.Candle], int], TradeInBatch]):
    snapshot_message = CandlesSnapshot

    def __init__(self, name: str, market: Market, interval: Any, tasks: Tasks) -> None:
        super().__init__(name, tasks)
        self._market = market
        self._interval = Interval(interval)
        self._shown = interval  # as messages have it
        self._width = WIDTHS[self._interval]
        self._candles: list[Growing] = []
        self._last = 0  # number of the newest trade in them
        self._throttle = Throttle(PUBLISH_SECONDS, self._publish)
        self._grown = False
        self._timestamp_of_change = ""

    def close(self) -> None:
        self._throttle.cancel()
        super().close()

    def read(self) -> tuple[list[selectors.Candle], int]:
        return selectors.newest(self._market.symbol, self._interval, SHOWN)

    def adopt(self, found: tuple[list[selectors.Candle], int]) -> None:
        candles, self._last = found
        self._grown = False
        self._candles = [
            Growing(
                each.start,
                self._end(each.start),
                each.open,
                each.high,
                each.low,
                each.close,
                each.volume,
                each.quote_volume,
                each.trades,
                closed=each is not candles[-1] or each.start + self._width < datetime.now(UTC) - LONG_AGO,
            )
            for each in candles
        ]

    def traded(self, note: TradeNote, batch: Batch) -> None:
        self.take(TradeInBatch(note, batch))

    def apply(self, item: TradeInBatch) -> None:
        note, batch = item
        if note.number <= self._last:
            return
        start = intervals.floor(datetime.fromisoformat(batch.executed_at), self._width)
        running = self._candles[-1] if self._candles else None
        if note.number != self._last + 1 or (running is not None and start < running.start):
            self.lost()
            return
        self._last = note.number
        price, quantity = Decimal(note.price), Decimal(note.quantity)
        if running is None or running.start < start:
            self._close(batch)
            zero = Decimal(0)
            running = Growing(start, self._end(start), price, price, price, price, zero, zero, 0)
            self._candles = [*self._candles, running][-SHOWN:]
        running.add(price, quantity)
        running.closed = False
        self._grown = True

    def passed(self, batch: Batch) -> None:
        """All trades of `batch` have been handed on."""
        if self._reading is not None or not self._candles:
            return
        if self._grown:
            self._timestamp_of_change = batch.timestamp
            self._throttle.request()
        if batch.timestamp >= self._candles[-1].end:
            self._close(batch)

    def state(self) -> Candles:
        return Candles(self._market.symbol, self._shown, [self._view(each) for each in self._candles])

    def _close(self, batch: Batch) -> None:
        if self._candles and not self._candles[-1].closed:
            self._throttle.cancel()
            self._grown = False
            self._candles[-1].closed = True
            self.publish(CandleMessage, self._view(self._candles[-1]), batch.timestamp)

    def _publish(self) -> None:
        if self._grown:
            self._grown = False
            self.publish(CandleMessage, self._view(self._candles[-1]), self._timestamp_of_change)

    def _end(self, start: datetime) -> str:
        return (start + self._width).astimezone(UTC).isoformat().removesuffix("+00:00")

    def _view(self, of: Growing) -> Candle:
        market = self._market
        return Candle(
            rfc3339(of.start, "auto"),
            market.price(of.open),
            market.price(of.high),
            market.price(of.low),
            market.price(of.close),
            market.quantity(of.volume),
            plain(of.quote_volume),
            of.trades,
            of.closed,
        )
