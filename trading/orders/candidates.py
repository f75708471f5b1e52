"""From a new order to one that could be accepted: where its funds are, what it must hold, what it may trade
at.

Runs in the request's thread, before the batch: nothing here locks or writes (but that a user's account is
opened at first need). The last word on funds has `trading.orders.acceptance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from msgspec.structs import replace

from exchange.base.ids import uuid7
from exchange.base.origin import current
from exchange.platform.members.authentication import Member
from matching.codec import Envelope, Ticket
from matching.core.order_terms import AT_MARKET, OrderTerms
from matching.core.scale import PPM
from matching.core.types import MarketStatus, OrderType, Reason, Side
from risk.pretrade.exposure import unit_places
from risk.pretrade.gate import OrderCheck, Refusal
from trading.ledger.accounts import account_book
from trading.orders.best_prices import Top, best_prices
from trading.orders.order import NewOrder
from trading.reference import fee_rates
from trading.reference.catalog import AssetView, Market

REFUSING = frozenset({MarketStatus.HALTED, MarketStatus.CANCEL_ONLY})


class OrderCandidate:
    """A new order with all that intake needs to decide on it: `terms` is the command that places it, with its id and
    the worst price it may trade at. `reason` is set as soon as it is rejected."""

    __slots__ = (
        "fee_account",
        "hold",
        "hold_account",
        "institution",
        "maker_rate",
        "number",
        "order",
        "origin",
        "reason",
        "receive_account",
        "taker_rate",
        "terms",
        "wallet_account",
    )

    def __init__(self, order: NewOrder, member: Member, tops: dict[int, Top]) -> None:
        market, user, buying = order.market, order.terms.user, order.terms.side is Side.BUY
        pays, gets = (market.quote, market.base) if buying else (market.base, market.quote)
        institution = member.institution_id or ""
        self.order = order
        self.terms = replace(
            order.terms, id=uuid7(), price=_worst_price(order, tops), collar_ppm=market.collar_ppm
        )
        self.origin = current()
        self.institution = institution
        self.number = 0
        self.hold_account = account_book.of_user(user, institution, pays.id)
        self.receive_account = account_book.of_user(user, institution, gets.id)
        self.fee_account = account_book.of_fees(institution, gets.id)
        self.maker_rate, self.taker_rate = fee_rates.rates(institution, market.id)
        self.wallet_account = 0  # that funds come from which a bank's own wallet has reserved
        self.reason: Reason | Refusal | None = None
        if market.status in REFUSING:
            self.reason = Reason.MARKET_HALTED
        elif not self.terms.price:
            self.reason = Reason.NO_LIQUIDITY
        scale, lots = market.scale, self.terms.quantity
        self.hold = scale.quote_minor(self.terms.price, lots) if buying else scale.base_minor(lots)

    @property
    def order_id(self) -> str:
        return self.terms.id

    @property
    def pays(self) -> AssetView:
        """The asset that the order must hold."""
        market = self.order.market
        return market.quote if self.terms.side is Side.BUY else market.base

    def check(self) -> OrderCheck:
        return order_check(self.order.market, self.institution, self.terms)

    def envelope(self, reply_to: str) -> Envelope:
        ticket = Ticket(
            self.number,
            self.hold_account,
            self.receive_account,
            self.fee_account,
            self.maker_rate,
            self.taker_rate,
            self.order.client_order_id,
        )
        return Envelope(self.terms, self.order.trace_id, reply_to, ticket)


def prepare(orders: Sequence[NewOrder], member: Member) -> list[OrderCandidate]:
    tops = best_prices({order.market for order in orders if order.terms.type is OrderType.MARKET})
    return [OrderCandidate(order, member, tops) for order in orders]


def order_check(market: Market, institution: str, terms: OrderTerms) -> OrderCheck:
    """An order as the pre-trade gate sees it; a LIMIT's price is one that its owner named."""
    notional = Decimal(market.scale.quote_minor(terms.price, terms.quantity)).scaleb(-market.quote.scale)
    return OrderCheck(
        user_id=terms.user,
        institution_id=institution,
        instrument=market.id,
        symbol=market.symbol,
        base=market.base.id,
        unit_places=unit_places(market.base.scale),
        currency=market.quote.code,
        buying=terms.side is Side.BUY,
        lots=terms.quantity,
        lot_size=market.lot_size,
        notional=notional,
        limit_price=terms.price * market.tick_size if terms.type is OrderType.LIMIT else None,
    )


def _worst_price(order: NewOrder, tops: dict[int, Top]) -> int:
    """The worst price the order may trade at, in ticks; 0 for a market order without anybody to trade with.

    The collar is rounded inward: a buyer never pays more, a seller never gets less than it says.
    """
    terms, collar = order.terms, order.market.collar_ppm
    if terms.type not in AT_MARKET:
        return terms.price
    if terms.type is OrderType.STOP:
        reference = terms.stop_price
    else:
        bid, ask = tops[order.market.id]
        reference = ask if terms.side is Side.BUY else bid
    if terms.side is Side.BUY:
        return reference * (PPM + collar) // PPM
    return -(-reference * (PPM - collar) // PPM)
