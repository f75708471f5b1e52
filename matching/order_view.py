"""An order as texts: what REST answers."""

from __future__ import annotations

import msgspec


class OrderView(msgspec.Struct, gc=False):
    """Decimals are strings in plain notation, times RFC 3339 in UTC; what does not apply is null."""

    order_id: str
    number: int
    client_order_id: str
    symbol: str
    side: str
    order_type: str
    time_in_force: str
    post_only: bool
    self_trade_prevention: str
    quantity: str
    price: str | None
    stop_price: str | None
    trigger_price: str | None
    triggered_at: str | None
    filled_quantity: str
    remaining_quantity: str
    average_price: str | None
    fee: str
    fee_asset: str
    status: str
    reason: str | None
    created_at: str
    updated_at: str
