"""The money side of what the core did: turns events into rows, in memory, writing nothing.

The blotter keeps, for each live order, what the core does not know: fills, fees, the accounts behind it. It
belongs to one worker and is thrown away with the books when a settlement fails. Amounts are in minor units,
prices in ticks, quantities in lots; `trading.settlement.group_settlement` writes the `SettlementRows` that a batch
fills.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from exchange.base.ids import uuid7
from matching.codec import Envelope, OrderUpdate, Reply, Ticket
from matching.core import events as core
from matching.core.commands import AnyCommand, Place, Trigger
from matching.core.scale import fee_minor, minor_text
from matching.core.types import Reason, Side
from matching.feed import TradeNote
from matching.order_status import CLOSED, OrderStatus, may_become
from matching.order_view import OrderNote, order_note, term_texts
from trading.ledger.writer import Entries
from trading.orders.events import market_event, order_event, trade_event
from trading.orders.order import average_price
from trading.reference.catalog import Market


class LiveOrder(msgspec.Struct, gc=False):
    """A live order: its terms as they are amended by now, and its fills. Its hold is reckoned by the terms' price, the
    worst that it may trade at."""

    terms: Place
    market: Market
    number: int
    client_order_id: str
    hold_account: int
    receive_account: int
    fee_account: int
    maker_rate: int
    taker_rate: int
    status: OrderStatus
    remaining: int
    filled: int = 0
    notional: int = 0
    fee: int = 0
    reason: str = ""
    priority: int = 0
    trigger_price: int = 0
    counted_remaining: int = 0  # what the gate's counts know of it
    counted_filled: int = 0
    counted_notional: int = 0

    def __post_init__(self) -> None:
        self.counted_remaining, self.counted_filled = self.remaining, self.filled
        self.counted_notional = self.notional

    @property
    def order_id(self) -> str:
        return self.terms.id

    @property
    def held(self) -> int:
        """What the order must hold now, in minor units of what it pays with."""
        if self.status in CLOSED:
            return 0
        if self.terms.side is Side.BUY:
            return self.market.scale.quote_minor(self.terms.price, self.remaining)
        return self.market.scale.base_minor(self.remaining)

    @property
    def hold_scale(self) -> int:
        return self.market.quote.scale if self.terms.side is Side.BUY else self.market.base.scale

    @property
    def receive_scale(self) -> int:
        return self.market.base.scale if self.terms.side is Side.BUY else self.market.quote.scale

    def become(self, status: OrderStatus, reason: str = "") -> None:
        assert may_become(self.status, status), f"order {self.order_id}: {self.status} to {status}"
        self.status, self.reason = status, reason


def live_order(terms: Place, ticket: Ticket, market: Market) -> LiveOrder:
    """A new order as it comes in, PENDING. Its collar was for its way into the market."""
    return LiveOrder(
        terms=replace(terms, collar_ppm=0),
        market=market,
        number=ticket.number,
        client_order_id=ticket.client_order_id,
        hold_account=ticket.hold_account,
        receive_account=ticket.receive_account,
        fee_account=ticket.fee_account,
        maker_rate=ticket.maker_rate,
        taker_rate=ticket.taker_rate,
        status=OrderStatus.PENDING,
        remaining=terms.quantity,
    )


class StopChange(NamedTuple):
    """A stop was armed at `price` (ticks), or is armed no more: 0."""

    symbol: str
    side: Side
    order_id: str
    price: int


@dataclass(slots=True)
class SettlementRows:
    """All rows of one settlement, and what is published of it."""

    now: str
    now_us: int
    orders: dict[str, LiveOrder] = field(default_factory=dict)
    trades: list[str] = field(default_factory=list)
    ledger: Entries = field(default_factory=Entries)
    messages: list[str] = field(default_factory=list)
    markets: dict[int, str] = field(default_factory=dict)
    replies: list[tuple[str, Reply]] = field(default_factory=list)
    trade_notes: list[TradeNote] = field(default_factory=list)
    order_notes: list[OrderNote] = field(default_factory=list)
    stops: list[StopChange] = field(default_factory=list)


class Blotter:
    def __init__(self, market: Callable[[int], Market]) -> None:
        """`market` gives an instrument by its id."""
        self.orders: dict[str, LiveOrder] = {}
        self._market = market

    def record(self, rows: SettlementRows, envelope: Envelope, events: Sequence[core.Event]) -> None:
        """Write one command's events into the rows, and the reply to its sender."""
        command = envelope.command
        changed: dict[str, LiveOrder] = {}
        refused = ""
        if isinstance(command, Place):
            assert envelope.ticket is not None, "a new order comes with its ticket"
            order = live_order(command, envelope.ticket, self._market(command.instrument))
            self.orders[command.id] = changed[command.id] = order
        for event in events:
            match event:
                case core.Refused():
                    refused = event.reason
                    self._still_armed(rows, command)
                case core.StatusChanged():
                    self._market_changed(rows, event, envelope.trace_id)
                case core.Traded():
                    self._trade(rows, event, envelope.trace_id)
                    changed[event.maker] = self.orders[event.maker]
                    changed[event.taker] = self.orders[event.taker]
                case core.Triggered():
                    changed[event.order] = self._change(rows, event)
                    self._report(rows, changed[event.order], envelope.trace_id)  # what follows comes on top
                case _:
                    changed[event.order] = self._change(rows, event)
        for order in changed.values():
            self._report(rows, order, envelope.trace_id)
        updates = [_update(order, rows.now_us) for order in changed.values()]
        rows.replies.append((envelope.reply_to, Reply(command.id, refused, updates)))

    def _change(self, rows: SettlementRows, event: core.Event) -> LiveOrder:
        """An event that moves no money between users."""
        match event:
            case core.Opened(order_id, remaining, priority):
                order = self.orders[order_id]
                order.become(OrderStatus.PARTIALLY_FILLED if order.filled else OrderStatus.OPEN)
                order.remaining, order.priority = remaining, priority
            case core.Armed(order_id, priority):
                order = self.orders[order_id]
                order.become(OrderStatus.PENDING_TRIGGER)
                order.priority = priority
                rows.stops.append(_armed(order))
            case core.Triggered(order_id, price):
                order = self.orders[order_id]
                order.become(OrderStatus.TRIGGERED)
                order.trigger_price = price
                rows.stops.append(StopChange(order.market.symbol, order.terms.side, order_id, 0))
            case core.Decremented(order_id, _, remaining):
                order = self.orders[order_id]
                order.remaining = remaining
            case core.Amended(order_id, price, quantity, remaining, _):
                order = self.orders[order_id]
                order.terms = replace(order.terms, price=price, quantity=quantity)
                order.remaining = remaining
            case core.Cancelled(order_id, remaining, reason):
                order = self.orders[order_id]
                if order.status is OrderStatus.PENDING_TRIGGER:
                    rows.stops.append(StopChange(order.market.symbol, order.terms.side, order_id, 0))
                order.become(OrderStatus.CANCELLED, reason)
                order.remaining = remaining
            case core.Rejected(order_id, reason):
                order = self.orders[order_id]
                order.become(OrderStatus.REJECTED, reason)
            case _:
                raise AssertionError(f"unknown event {event!r}")
        return order

    def _still_armed(self, rows: SettlementRows, command: AnyCommand) -> None:
        """A stop whose trigger was refused is watched again: its market may have been halted."""
        if isinstance(command, Trigger):
            order = self.orders.get(command.order)
            if order is not None and order.status is OrderStatus.PENDING_TRIGGER:
                rows.stops.append(_armed(order))

    def _trade(self, rows: SettlementRows, event: core.Traded, trace_id: str) -> None:
        """One fill: the trade's row, six postings (two legs and a fee per side), its message."""
        maker, taker = self.orders[event.maker], self.orders[event.taker]
        market, scale = maker.market, maker.market.scale
        quote, base = scale.quote_minor(event.price, event.quantity), scale.base_minor(event.quantity)
        buyer, seller = (taker, maker) if event.taker_side is Side.BUY else (maker, taker)
        buyer_fee = fee_minor(base, buyer.taker_rate if buyer is taker else buyer.maker_rate)
        seller_fee = fee_minor(quote, seller.taker_rate if seller is taker else seller.maker_rate)
        _fill(buyer, event.quantity, quote, buyer_fee)
        _fill(seller, event.quantity, quote, seller_fee)
        maker.remaining, taker.remaining = event.maker_remaining, event.taker_remaining
        for order in (maker, taker):
            if order.filled == order.terms.quantity:
                order.become(OrderStatus.FILLED)
            elif not order.remaining:  # self-trade prevention had taken the rest
                order.become(OrderStatus.CANCELLED, Reason.SELF_TRADE)
            elif order is maker:
                order.become(OrderStatus.PARTIALLY_FILLED)

        trade_id = uuid7()
        price, quantity = scale.price_text(event.price), scale.quantity_text(event.quantity)
        buyer_fee_text = minor_text(buyer_fee, market.base.scale)
        seller_fee_text = minor_text(seller_fee, market.quote.scale)
        buyer_is_maker = buyer is maker
        rows.trades.append(
            f"{trade_id}\t{event.number}\t{market.id}\t{price}\t{quantity}\t{buyer.order_id}\t{seller.order_id}\t"
            f"{buyer.terms.user}\t{seller.terms.user}\t{'t' if buyer_is_maker else 'f'}\t{buyer_fee_text}\t"
            f"{seller_fee_text}\t{rows.now}\n"
        )
        rows.trade_notes.append(
            TradeNote(
                trade_id,
                event.number,
                market.id,
                price,
                quantity,
                buyer.order_id,
                seller.order_id,
                buyer.terms.user,
                seller.terms.user,
                buyer_fee_text,
                seller_fee_text,
                buyer_is_maker,
            )
        )
        base_asset, quote_asset = market.base, market.quote
        rows.ledger.add(
            trade_id,
            "TRADE",
            trace_id,
            rows.now,
            (
                (buyer.hold_account, quote_asset.id, -quote, quote_asset.scale),
                (seller.receive_account, quote_asset.id, quote - seller_fee, quote_asset.scale),
                (seller.fee_account, quote_asset.id, seller_fee, quote_asset.scale),
                (seller.hold_account, base_asset.id, -base, base_asset.scale),
                (buyer.receive_account, base_asset.id, base - buyer_fee, base_asset.scale),
                (buyer.fee_account, base_asset.id, buyer_fee, base_asset.scale),
            ),
        )
        rows.messages.append(
            trade_event(
                trade_id=trade_id,
                number=event.number,
                symbol=market.symbol,
                price=price,
                quantity=quantity,
                buyer_order=buyer.order_id,
                seller_order=seller.order_id,
                buyer=buyer.terms.user,
                seller=seller.terms.user,
                buyer_fee=buyer_fee_text,
                seller_fee=seller_fee_text,
                is_buyer_maker=buyer_is_maker,
                trace_id=trace_id,
                timestamp=rows.now,
            )
        )

    def _market_changed(self, rows: SettlementRows, event: core.StatusChanged, trace_id: str) -> None:
        rows.markets[event.instrument] = event.status
        symbol = self._market(event.instrument).symbol
        rows.messages.append(
            market_event(symbol=symbol, status=event.status, trace_id=trace_id, timestamp=rows.now)
        )

    def _report(self, rows: SettlementRows, order: LiveOrder, trace_id: str) -> None:
        terms, market = order.terms, order.market
        texts = term_texts(terms, market.scale)
        filled, remaining = (
            market.scale.quantity_text(order.filled),
            market.scale.quantity_text(order.remaining),
        )
        rows.orders[terms.id] = order
        rows.order_notes.append(
            order_note(
                terms,
                texts,
                client_order_id=order.client_order_id,
                number=order.number,
                trigger_price=market.scale.price_text(order.trigger_price) if order.trigger_price else None,
                filled=filled,
                remaining=remaining,
                average_price=average_price(market, order.notional, order.filled),
                fee=minor_text(order.fee, order.receive_scale),
                status=order.status,
                reason=order.reason,
            )
        )
        rows.messages.append(
            order_event(
                terms,
                texts,
                number=order.number,
                symbol=market.symbol,
                status=order.status,
                filled_quantity=filled,
                remaining_quantity=remaining,
                reason=order.reason,
                trace_id=trace_id,
                timestamp=rows.now,
            )
        )
        if order.status in CLOSED:
            self.orders.pop(terms.id)


def _fill(order: LiveOrder, lots: int, quote: int, fee: int) -> None:
    order.filled += lots
    order.notional += quote
    order.fee += fee


def _armed(order: LiveOrder) -> StopChange:
    return StopChange(order.market.symbol, order.terms.side, order.order_id, order.terms.stop_price)


def _update(order: LiveOrder, now_us: int) -> OrderUpdate:
    return OrderUpdate(
        order.order_id,
        order.status,
        order.remaining,
        order.filled,
        str(order.notional),
        str(order.fee),
        order.reason,
        now_us,
    )
