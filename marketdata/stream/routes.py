"""Which channels a message of the feed concerns: those of its markets and of its users, where there are any."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Protocol, TypeVar

from marketdata.stream.balances import BalancesChannel
from marketdata.stream.books import Books
from marketdata.stream.channel import Channel
from marketdata.stream.notifications import NotificationsChannel
from marketdata.stream.ticker import TickerChannel
from matching.feed import Batch, OrderNote, TradeNote

T = TypeVar("T")


class TradeReader(Protocol):
    def traded(self, note: TradeNote, batch: Batch) -> None: ...


class TimeReader(Protocol):
    def passed(self, batch: Batch) -> None:
        """The group's worker is past the time of `batch`, whose trades have been handed on."""


class OrderReader(Protocol):
    def ordered(self, note: OrderNote, batch: Batch) -> None: ...


class Routes:
    """Readers by what they read. A channel is in all that fit it, and in `losers` with the group whose loss
    concerns it (None: any).
    """

    def __init__(self, books: Books) -> None:
        self.books = books
        self.trades: defaultdict[int, set[TradeReader]] = defaultdict(set)
        self.times: defaultdict[str, set[TimeReader]] = defaultdict(set)
        self.user_trades: defaultdict[str, set[TradeReader]] = defaultdict(set)
        self.user_orders: defaultdict[str, set[OrderReader]] = defaultdict(set)
        self.balances: defaultdict[str, set[BalancesChannel]] = defaultdict(set)
        self.notifications: defaultdict[str, set[NotificationsChannel]] = defaultdict(set)
        self.tickers: defaultdict[str, set[TickerChannel]] = defaultdict(set)
        self.losers: defaultdict[str | None, set[Channel]] = defaultdict(set)

    def deliver(self, batch: Batch) -> None:
        for change in batch.books:
            if (book := self.books.get(change.instrument)) is not None:
                book.apply(change, batch)
        for trade in batch.trades:
            for readers in (
                self.trades.get(trade.instrument),
                self.user_trades.get(trade.buyer),
                self.user_trades.get(trade.seller),
            ):
                for reader in readers or ():
                    reader.traded(trade, batch)
        for order in batch.orders:
            for order_reader in self.user_orders.get(order.user, ()):
                order_reader.ordered(order, batch)
        for time_reader in self.times.get(batch.group, ()):
            time_reader.passed(batch)

    def lose(self, group: str) -> None:
        """Something of the group was missed."""
        for book in self.books.of_group(group):
            book.lose()
        for channel in [*self.losers[group], *self.losers[None]]:
            channel.lost()

    def resume(self) -> None:
        """The subscription begins, at first or again: what has no chain to show if something was missed is read
        again.
        """
        for ticker in _all(self.tickers):
            ticker.lost()
        for balances in _all(self.balances):
            balances.lost()
        for notifications in _all(self.notifications):
            notifications.lost()

    def second(self) -> None:
        """A second has passed."""
        for ticker in _all(self.tickers):
            ticker.second()

    def remove(self, channel: Channel) -> None:
        """It reads no more."""
        tables: tuple[dict[Any, set[Any]], ...] = (
            self.trades,
            self.times,
            self.user_trades,
            self.user_orders,
            self.balances,
            self.notifications,
            self.tickers,
            self.losers,
        )
        for table in tables:
            for key, readers in list(table.items()):
                readers.discard(channel)
                if not readers:
                    del table[key]


def _all(table: dict[str, set[T]]) -> list[T]:
    return [each for readers in table.values() for each in readers]
