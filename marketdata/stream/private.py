"""`user.orders` and `user.trades`: what is for one user only. One channel a user, however many of their sockets
are on it.

What is read from PostgreSQL comes with the checkpoint of every group, in one statement and so from one moment.
It includes what the feed has up to those sequences, and nothing else.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from marketdata.stream import queries
from marketdata.stream.markets import Markets
from marketdata.stream.messages import (
    Orders,
    OrdersSnapshot,
    OrderUpdate,
    UserTrade,
    UserTradeMessage,
    UserTrades,
    UserTradesSnapshot,
)
from marketdata.stream.queries import Positions
from marketdata.stream.snapshot_channel import LoadedChannel
from marketdata.stream.tasks import Tasks
from marketdata.stream.trades import TradeInBatch
from matching.core.scale import trim
from matching.feed import Batch, OrderNote, TradeNote
from matching.order_status import CLOSED
from matching.order_view import UserOrder, noted_terms

SHOWN = 50


class Noted(NamedTuple):
    note: OrderNote
    batch: Batch


class OrdersChannel(LoadedChannel[tuple[Positions, list[UserOrder]], Noted]):
    snapshot_message = OrdersSnapshot
    private = True

    def __init__(self, name: str, user: str, markets: Markets, tasks: Tasks) -> None:
        super().__init__(name, tasks)
        self._user = user
        self._markets = markets
        self._positions: Positions = {}
        self._orders: dict[str, UserOrder] = {}

    def read(self) -> tuple[Positions, list[UserOrder]]:
        return queries.open_orders(self._user)

    def adopt(self, found: tuple[Positions, list[UserOrder]]) -> None:
        self._positions, orders = found
        self._orders = {order.order_id: order for order in orders}

    def ordered(self, note: OrderNote, batch: Batch) -> None:
        self.take(Noted(note, batch))

    def apply(self, item: Noted) -> None:
        note, batch = item
        if batch.sequence <= self._positions.get(batch.group, -1):
            return
        market = self._markets.by_id(note.instrument)
        if market is None:  # a new one, which the database knows
            self.lost()
            return
        order = UserOrder(
            **noted_terms(note),
            order_id=note.id,
            number=note.number,
            client_order_id=note.client_order_id,
            symbol=market.symbol,
            trigger_price=None if note.trigger_price is None else trim(note.trigger_price),
            filled_quantity=trim(note.filled),
            remaining_quantity=trim(note.remaining),
            average_price=note.average_price,
            fee=trim(note.fee),
            fee_asset=market.base if note.side == "BUY" else market.quote,
            status=note.status,
            reason=note.reason or None,
        )
        if note.status in CLOSED:
            self._orders.pop(note.id, None)
        else:
            self._orders[note.id] = order
        self.publish(OrderUpdate, order, batch.timestamp)

    def state(self) -> Orders:
        return Orders(list(self._orders.values()))


class UserTradesChannel(LoadedChannel[tuple[Positions, list[UserTrade]], TradeInBatch]):
    snapshot_message = UserTradesSnapshot
    private = True

    def __init__(self, name: str, user: str, markets: Markets, tasks: Tasks) -> None:
        super().__init__(name, tasks)
        self._user = user
        self._markets = markets
        self._positions: Positions = {}
        self._trades: deque[UserTrade] = deque(maxlen=SHOWN)

    def read(self) -> tuple[Positions, list[UserTrade]]:
        return queries.user_trades(self._user, SHOWN)

    def adopt(self, found: tuple[Positions, list[UserTrade]]) -> None:
        self._positions, trades = found
        self._trades = deque(trades, maxlen=SHOWN)

    def traded(self, note: TradeNote, batch: Batch) -> None:
        self.take(TradeInBatch(note, batch))

    def apply(self, item: TradeInBatch) -> None:
        note, batch = item
        if batch.sequence <= self._positions.get(batch.group, -1):
            return
        market = self._markets.by_id(note.instrument)
        if market is None:
            self.lost()
            return
        bought = note.buyer == self._user
        trade = UserTrade(
            trade_id=note.id,
            number=note.number,
            order_id=note.buyer_order if bought else note.seller_order,
            symbol=market.symbol,
            side="BUY" if bought else "SELL",
            price=trim(note.price),
            quantity=trim(note.quantity),
            fee=trim(note.buyer_fee if bought else note.seller_fee),
            fee_asset=market.base if bought else market.quote,
            liquidity="MAKER" if note.buyer_is_maker is bought else "TAKER",
            executed_at=batch.executed_at,
        )
        self._trades.append(trade)
        self.publish(UserTradeMessage, trade, batch.timestamp)

    def state(self) -> UserTrades:
        return UserTrades(list(self._trades))
