"""An order as intake takes it, as its row has it, and back: the one place that knows which column has which term."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from exchange.base.database import NULL
from matching.codec import OrderUpdate
from matching.core.commands import Place
from matching.core.order_terms import AT_MARKET
from matching.core.scale import InstrumentScale, minor_text, trim
from matching.core.types import OrderType, SelfTradePrevention, Side, TimeInForce
from matching.order_view import OrderView, shown_terms
from trading.models import Order
from trading.reference.catalog import Market


class NewOrder(msgspec.Struct, frozen=True, gc=False):
    """A new order whose form is right: in ticks and lots, not yet checked against funds or the market.

    Until intake takes it, its terms have no id, and no price if it trades at the market's. `fingerprint` is a signed
    64-bit hash of what was asked for, by which a retry is told from another order under the same `client_order_id`.
    """

    market: Market
    terms: Place
    client_order_id: str
    fingerprint: int
    trace_id: str


# -- row and terms

COLUMNS = (
    "id, instrument_id, user_id, side, type, time_in_force, price, protection_price, quantity, stop_price, post_only, "
    "prevention"
)

# As `Place` has them, in ticks and lots; of an order `o` of an instrument `i`.
WORST_PRICE = "(coalesce(o.price, o.protection_price) / i.tick_size)::bigint"
QUANTITY = "(o.quantity / i.lot_size)::bigint"
SELECTED = (
    "o.id::text, o.instrument_id, o.user_id::text, o.side, o.type, o.time_in_force, "
    f"{WORST_PRICE}, {QUANTITY}, coalesce((o.stop_price / i.tick_size)::bigint, 0), o.post_only, o.prevention"
)
INSTRUMENT, USER, WIDTH = 1, 2, 11  # where what is SELECTED has those ids; how much it is


def terms_line(terms: Place, scale: InstrumentScale) -> str:
    """The COLUMNS of a new order, as COPY takes them."""
    price = scale.price_text(terms.price)
    limit, protection = (NULL, price) if terms.type in AT_MARKET else (price, NULL)
    stop_price = scale.price_text(terms.stop_price) if terms.stop_price else NULL
    return (
        f"{terms.id}\t{terms.instrument}\t{terms.user}\t{terms.side.name}\t{terms.type}\t{terms.time_in_force}\t"
        f"{limit}\t{protection}\t{scale.quantity_text(terms.quantity)}\t{stop_price}\t"
        f"{'t' if terms.post_only else 'f'}\t{terms.prevention}"
    )


def read_terms(row: Sequence[Any], collar_ppm: int = 0) -> Place:
    """What is SELECTED, as the command that placed the order. Its collar is not kept: an order in a book has none."""
    (
        order_id,
        instrument,
        user,
        side,
        kind,
        time_in_force,
        price,
        quantity,
        stop_price,
        post_only,
        prevention,
    ) = row
    return Place(
        order_id,
        instrument,
        user,
        Side[side],
        OrderType(kind),
        TimeInForce(time_in_force),
        price,
        quantity,
        stop_price,
        post_only,
        SelfTradePrevention(prevention),
        collar_ppm,
    )


def terms_of(order: Order, market: Market) -> Place:
    """The same of an order that Django has read."""
    scale = market.scale
    price, quantity = scale.to_ticks(order.worst_price), scale.to_lots(order.quantity)
    stop_price = 0 if order.stop_price is None else scale.to_ticks(order.stop_price)
    assert price is not None and quantity is not None and stop_price is not None, (
        "an order is in ticks and lots"
    )
    row = (
        str(order.pk),
        order.instrument_id,
        str(order.user_id),
        order.side,
        order.type,
        order.time_in_force,
        price,
        quantity,
        stop_price,
        order.post_only,
        order.prevention,
    )
    return read_terms(row)


# -- views


def new_view(order: NewOrder, terms: Place, number: int, created_at: str, state: OrderUpdate) -> OrderView:
    """A new order in the state that `state` says, without a look at the database."""
    market, scale = order.market, order.market.scale
    received = market.base if terms.side is Side.BUY else market.quote
    return OrderView(
        **shown_terms(terms, scale),
        number=number,
        client_order_id=order.client_order_id,
        symbol=market.symbol,
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
