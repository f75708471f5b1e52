"""Examples of the OpenAPI document; they work against the demo as they stand."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample

_LIMIT = {
    "symbol": "BTC/USDT",
    "side": "BUY",
    "order_type": "LIMIT",
    "quantity": "0.5",
    "price": "50000",
    "client_order_id": "buy-1",
}
_MARKET = {
    "symbol": "BTC/USDT",
    "side": "SELL",
    "order_type": "MARKET",
    "quantity": "0.1",
    "client_order_id": "sell-1",
}
_STOP = {
    "symbol": "ETH/USDT",
    "side": "SELL",
    "order_type": "STOP_LIMIT",
    "quantity": "2",
    "stop_price": "2900",
    "price": "2890",
    "client_order_id": "stop-1",
}

PLACE_ORDER = [
    OpenApiExample("Limit", value=_LIMIT, request_only=True),
    OpenApiExample("Market", value=_MARKET, request_only=True),
    OpenApiExample("Stop limit", value=_STOP, request_only=True),
]
_LOWER = _LIMIT | {"price": "49990", "client_order_id": "buy-2"}

PLACE_ORDERS = [OpenApiExample("Two orders", value={"orders": [_LIMIT, _LOWER]}, request_only=True)]
AMEND_ORDER = [
    OpenApiExample("New price and quantity", value={"price": "49990", "quantity": "0.4"}, request_only=True)
]
