"""Orders read back from PostgreSQL, for the order path: by id, by user, by client order id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.core.exceptions import ValidationError

from exchange.base.decimals import plain, plain_or_none
from matching.core.scale import minor_text, to_minor, trim
from matching.core.types import Side
from matching.order_status import OrderStatus
from matching.order_view import OrderView, shown_terms
from trading.models import ClientOrder, Order, PendingCommand
from trading.orders.order import NewOrder, average_price, terms_of
from trading.reference.catalog import Market, catalog


def own_order(user_id: str, order_id: str) -> Order | None:
    """The order, if it exists and is the user's; None for an id that is none too."""
    try:
        return Order.objects.filter(pk=order_id, user_id=user_id).first()
    except ValidationError:
        return None


def order_views(order_ids: Iterable[str]) -> dict[str, OrderView]:
    """The orders that exist, by id."""
    return {str(order.pk): order_view(order) for order in Order.objects.filter(pk__in=list(order_ids))}


def earlier_orders(orders: Sequence[NewOrder]) -> dict[tuple[str, str], tuple[OrderView, int]]:
    """By user and client order id: the order first placed under it and its fingerprint."""
    keys = ClientOrder.objects.filter(
        user_id__in={order.terms.user for order in orders},
        client_order_id__in={order.client_order_id for order in orders},
    )
    found = {(str(key.user_id), key.client_order_id): key for key in keys}
    views = order_views(str(key.order_id) for key in found.values())
    return {name: (views[str(key.order_id)], key.fingerprint) for name, key in found.items()}


def any_pending(order_ids: Sequence[str]) -> bool:
    """True while a matcher has not come to one of these orders."""
    return Order.objects.filter(pk__in=list(order_ids), status=OrderStatus.PENDING).exists()


def any_command(command_ids: Sequence[str]) -> bool:
    """True while one of these commands has not been applied."""
    return PendingCommand.objects.filter(pk__in=list(command_ids)).exists()


def open_orders(user_id: str, market: Market | None) -> dict[str, int]:
    """The instrument of each open order of the user, by the order's id, in one market or in all."""
    found = Order.objects.filter(user_id=user_id, closed_at__isnull=True)
    if market is not None:
        found = found.filter(instrument_id=market.id)
    return {str(order_id): instrument for order_id, instrument in found.values_list("pk", "instrument_id")}


def order_view(order: Order) -> OrderView:
    market = catalog.by_id(order.instrument_id)
    received = market.base if order.side == Side.BUY.name else market.quote
    notional = to_minor(order.filled_notional, market.quote.scale)
    filled = market.scale.to_lots(order.filled_quantity)
    fee = to_minor(order.fee, received.scale)
    assert notional is not None and filled is not None and fee is not None, "amounts fit their asset's scale"
    return OrderView(
        **shown_terms(terms_of(order, market), market.scale),
        number=order.number,
        client_order_id=order.client_order_id,
        symbol=market.symbol,
        trigger_price=plain_or_none(order.trigger_price),
        triggered_at=None if order.triggered_at is None else _time(order.triggered_at),
        filled_quantity=plain(order.filled_quantity),
        remaining_quantity=plain(order.remaining_quantity),
        average_price=average_price(market, notional, filled),
        fee=trim(minor_text(fee, received.scale)),
        fee_asset=received.code,
        status=order.status,
        reason=order.reason or None,
        created_at=_time(order.created_at),
        updated_at=_time(order.updated_at),
    )


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"
