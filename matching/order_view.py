"""An order as texts: what REST answers, what matchers publish and what a user's stream shows.

The one place that knows how each term is shown. Amounts are decimals in plain notation. What goes from process to
process has all digits of its market's scale; what is shown has none that say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

from exchange.base.decimals import plain
from matching.core.order_terms import LIMITED, OrderTerms
from matching.core.scale import InstrumentScale, trim


class TermTexts(msgspec.Struct, frozen=True, gc=False):
    """What was asked for; a price is None where the type of order has none."""

    side: str
    type: str
    time_in_force: str
    post_only: bool
    prevention: str
    quantity: str
    price: str | None
    stop_price: str | None


def term_texts(terms: OrderTerms, scale: InstrumentScale) -> TermTexts:
    return TermTexts(
        terms.side.name,
        terms.type,
        terms.time_in_force,
        terms.post_only,
        terms.prevention,
        scale.quantity_text(terms.quantity),
        scale.price_text(terms.price) if terms.type in LIMITED else None,
        scale.price_text(terms.stop_price) if terms.stop_price else None,
    )


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


def shown_terms(terms: OrderTerms, scale: InstrumentScale) -> dict[str, Any]:
    """The terms as fields of an `OrderView`."""
    texts = term_texts(terms, scale)
    return {
        "order_id": terms.id,
        "side": texts.side,
        "order_type": texts.type,
        "time_in_force": texts.time_in_force,
        "post_only": texts.post_only,
        "self_trade_prevention": texts.prevention,
        "quantity": trim(texts.quantity),
        "price": texts.price and trim(texts.price),
        "stop_price": texts.stop_price and trim(texts.stop_price),
    }


class OrderNote(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An order's state after a settlement, as a matcher publishes it; prices are None where it has none."""

    id: str
    client_order_id: str
    number: int
    user: str
    instrument: int
    side: str
    type: str
    time_in_force: str
    price: str | None
    stop_price: str | None
    trigger_price: str | None
    quantity: str
    filled: str
    remaining: str
    average_price: str | None
    fee: str
    status: str
    reason: str


def order_note(
    terms: OrderTerms,
    texts: TermTexts,
    *,
    client_order_id: str,
    number: int,
    trigger_price: str | None,
    filled: str,
    remaining: str,
    average_price: str | None,
    fee: str,
    status: str,
    reason: str,
) -> OrderNote:
    """`texts` are those of `terms`, which the caller has made already."""
    return OrderNote(
        terms.id,
        client_order_id,
        number,
        terms.user,
        terms.instrument,
        texts.side,
        texts.type,
        texts.time_in_force,
        texts.price,
        texts.stop_price,
        trigger_price,
        texts.quantity,
        filled,
        remaining,
        average_price,
        fee,
        status,
        reason,
    )


class UserOrder(msgspec.Struct):
    """The whole state of an order, as REST has it; it was changed at the message's timestamp."""

    order_id: str
    number: int
    client_order_id: str
    symbol: str
    side: Literal["BUY", "SELL"]
    order_type: str
    time_in_force: str
    quantity: str
    price: str | None
    stop_price: str | None
    trigger_price: str | None
    filled_quantity: str
    remaining_quantity: str
    average_price: str | None
    fee: str
    fee_asset: str
    status: str
    reason: str | None


# The terms that a `UserOrder` has, by its field: the name in an `OrderNote` and of the column.
USER_ORDER_TERMS = {
    "side": "side",
    "order_type": "type",
    "time_in_force": "time_in_force",
    "quantity": "quantity",
    "price": "price",
    "stop_price": "stop_price",
}


def noted_terms(note: OrderNote) -> dict[str, Any]:
    """The terms as fields of a `UserOrder`, as a matcher published them."""
    return {field: _shown(getattr(note, name)) for field, name in USER_ORDER_TERMS.items()}


def stored_terms(row: Mapping[str, Any]) -> dict[str, Any]:
    """The terms as fields of a `UserOrder`, from columns of an order."""
    return {field: _shown(row[name]) for field, name in USER_ORDER_TERMS.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    return trim(value) if isinstance(value, str) else value
