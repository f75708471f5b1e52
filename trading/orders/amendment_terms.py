"""What an amendment asks for, and what it must hold on top of what its order holds already."""

from __future__ import annotations

from dataclasses import dataclass

from matching.core.order_terms import AT_MARKET
from matching.core.types import Reason, Side
from matching.order_status import OrderStatus
from trading.models import Order
from trading.orders.order import terms_of
from trading.reference.catalog import catalog


@dataclass(frozen=True, slots=True)
class AmendmentTerms:
    """The new limit (or protection) price in ticks, the total quantity in lots, the extra hold in minor units
    at `scale`."""

    worst_price: int
    quantity: int
    extra_hold: int
    scale: int
    reckoned_from: tuple[int, int]
    refused: str = ""


def terms(order: Order, price: int | None, quantity: int | None) -> AmendmentTerms:
    """The amendment in full; `refused` says why it cannot be: a market order or stop has no price to change.

    The order may fill before the amendment reaches the book. What it must hold then grows or shrinks in
    proportion to what is filled, so the extra is the greater of the two ends, nothing more filled and all of
    it: enough in every case. What is too much is released when the amendment is applied.
    """
    market = catalog.by_id(order.instrument_id)
    scale, now = market.scale, terms_of(order, market)
    buying = now.side is Side.BUY
    paid = market.quote if buying else market.base
    remaining = scale.to_lots(order.remaining_quantity)
    assert remaining is not None, "a stored order is in lots"
    new_price = now.price if price is None else price
    new_total = now.quantity if quantity is None else quantity
    refused = ""
    if price is not None and now.type in AT_MARKET:
        refused = Reason.NOT_AMENDABLE
    elif new_total <= now.quantity - remaining:
        refused = Reason.QUANTITY_NOT_ABOVE_FILLED
    elif order.status == OrderStatus.PENDING:
        refused = "ORDER_PENDING"
    grown = new_total - now.quantity

    def extra(left: int) -> int:
        if buying:
            return scale.quote_minor(new_price, max(0, left + grown)) - scale.quote_minor(now.price, left)
        return scale.base_minor(max(0, left + grown)) - scale.base_minor(left)

    extra_hold = max(0, extra(remaining), extra(0))
    return AmendmentTerms(new_price, new_total, extra_hold, paid.scale, (now.price, now.quantity), refused)
