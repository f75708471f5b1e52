"""What requests and answers of the trading API look like, as the OpenAPI document shows it.

Requests for orders stand in `trading.api.order_request`, beside their rules.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from exchange.base.http.openapi import ProblemBody
from matching.order_view import OrderView

SideName = Literal["BUY", "SELL"]


class OrderProblem(ProblemBody):
    """A problem that comes with the order it is about."""

    order: OrderView | UnsetType = UNSET


class BatchItem(msgspec.Struct, omit_defaults=True):
    """What `POST orders` would have answered: its status, and the order or the problem."""

    status: Annotated[int, Meta(examples=[201])]
    order: OrderView | UnsetType = UNSET
    problem: OrderProblem | UnsetType = UNSET


class BatchAnswer(msgspec.Struct):
    """In the order of the request."""

    items: list[BatchItem]


class OrderPage(msgspec.Struct):
    """Newest first. `next_cursor` gives the next page, null says that there is none."""

    items: list[OrderView]
    next_cursor: str | None


class CancelAfter(msgspec.Struct, forbid_unknown_fields=True):
    """Renew it before the time is over; 0 takes the switch away."""

    timeout: Annotated[
        int, Meta(ge=0, le=86_400, description="a whole number of seconds, 0 to 86400", examples=[60])
    ]


class DeadManSwitch(msgspec.Struct):
    """`trigger_time` is when all open orders go; null without a switch."""

    current_time: datetime
    trigger_time: datetime | None


class CancelledOrders(msgspec.Struct):
    items: list[OrderView]


class OwnSide(msgspec.Struct):
    """The caller's part in a trade; the fee is in the asset received."""

    order_id: str
    side: SideName
    liquidity: Literal["MAKER", "TAKER"]
    fee: str
    fee_asset: str


class TradeView(msgspec.Struct):
    """`side` is the taker's; `own` is there for the two who traded."""

    trade_id: str
    number: Annotated[int, Meta(description="counts the instrument's trades without a gap")]
    symbol: str
    price: str
    quantity: str
    side: SideName
    is_buyer_maker: bool
    executed_at: datetime
    own: OwnSide | UnsetType = UNSET


class TradePage(msgspec.Struct):
    """Newest first."""

    items: list[TradeView]
    next_cursor: str | None


class BalanceView(msgspec.Struct):
    """`held` is what open orders block, `total` is both together."""

    asset: str
    available: str
    held: str
    total: str


class Balances(msgspec.Struct):
    items: list[BalanceView]


class PostingView(msgspec.Struct):
    """One change of one of the caller's balances. A trade's transaction has the trade's id."""

    posting_id: str
    transaction_id: str
    kind: Literal["TRADE", "DEPOSIT", "WITHDRAWAL", "ADJUSTMENT", "RESERVE", "RELEASE"]
    asset: str
    amount: Annotated[str, Meta(description="signed", examples=["-25000"])]
    created_at: datetime


class LedgerPage(msgspec.Struct):
    """Newest first."""

    items: list[PostingView]
    next_cursor: str | None


class SymbolView(msgspec.Struct):
    """What may be traded, and in which steps. `slug` is the symbol as it stands in paths."""

    symbol: str
    slug: str
    base: str
    quote: str
    base_scale: int
    quote_scale: int
    tick_size: str
    lot_size: str
    min_quantity: str
    max_quantity: str
    min_notional: str
    collar: Annotated[
        str, Meta(description="how far from the best price a MARKET order may trade, as a fraction")
    ]
    status: Literal["TRADING", "POST_ONLY", "CANCEL_ONLY", "HALTED"]


class Symbols(msgspec.Struct):
    items: list[SymbolView]
