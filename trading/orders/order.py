"""A new order as the order path passes it on, and how one is told."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from matching.codec import OrderUpdate
from matching.core.scale import minor_text, trim
from matching.core.types import OrderType, SelfTradePrevention, Side, TimeInForce
from matching.order_view import OrderView
from trading.reference.catalog import Market


class NewOrder(msgspec.Struct, frozen=True, gc=False):
    """A new order whose form is right: in ticks and lots, not yet checked against funds or the market.

    `price` is 0 for MARKET and STOP, `stop_price` 0 for all but stops. `fingerprint` is a signed 64-bit hash
    of the request's body, which tells a retry from another order under the same `client_order_id`.
    """

    market: Market
    user_id: str
    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: int
    price: int
    stop_price: int
    post_only: bool
    prevention: SelfTradePrevention
    fingerprint: int
    trace_id: str


def draft_view(draft: NewOrder, order_id: str, number: int, created_at: str, state: OrderUpdate) -> OrderView:
    """A new order in the state that `state` says, without a look at the database."""
    market, scale = draft.market, draft.market.scale
    received = market.base if draft.side is Side.BUY else market.quote
    return OrderView(
        order_id=order_id,
        number=number,
        client_order_id=draft.client_order_id,
        symbol=market.symbol,
        side=draft.side.name,
        order_type=draft.type,
        time_in_force=draft.time_in_force,
        post_only=draft.post_only,
        self_trade_prevention=draft.prevention,
        quantity=trim(scale.quantity_text(draft.quantity)),
        price=trim(scale.price_text(draft.price)) if draft.price else None,
        stop_price=trim(scale.price_text(draft.stop_price)) if draft.stop_price else None,
        trigger_price=None,
        triggered_at=None,
        filled_quantity=trim(scale.quantity_text(state.filled)),
        remaining_quantity=trim(scale.quantity_text(state.remaining)),
        average_price=average_price(market, int(state.notional), state.filled),
        fee=trim(minor_text(int(state.fee), received.scale)),
        fee_asset=received.code,
        status=state.status,
        reason=state.reason or None,
        created_at=created_at,
        updated_at=time_text(state.updated_at),
    )


def average_price(market: Market, notional: int, lots: int) -> str | None:
    """Notional (minor units) over quantity (lots), rounded half up to the quote asset's scale; None before a
    fill."""
    if not lots:
        return None
    base = market.scale.base_minor(lots)
    minor = (notional * 10**market.base.scale * 2 + base) // (base * 2)
    return trim(minor_text(minor, market.quote.scale))


def time_text(microseconds: int) -> str:
    """RFC 3339 in UTC with microseconds."""
    return (
        datetime.fromtimestamp(microseconds / 1_000_000, tz=UTC).isoformat(timespec="microseconds")[:-6] + "Z"
    )
