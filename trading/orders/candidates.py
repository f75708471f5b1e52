"""From a draft to an order that could be accepted: where its funds are, what it must hold, what it may trade
at.

Runs in the request's thread, before the batch: nothing here locks or writes (but that a user's account is
opened at first need). The last word on funds has `trading.orders.acceptance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from exchange.base.ids import uuid7
from exchange.base.origin import current
from exchange.platform.members.authentication import Member
from matching.codec import Envelope, Ticket
from matching.core.commands import Place
from matching.core.scale import PPM
from matching.core.types import MarketStatus, OrderType, Reason, Side
from risk.pretrade.exposure import unit_places
from risk.pretrade.gate import OrderCheck, Refusal
from trading.ledger.accounts import account_book
from trading.orders.best_prices import Top, best_prices
from trading.orders.order import NewOrder
from trading.reference import fee_rates
from trading.reference.catalog import Market

REFUSING = frozenset({MarketStatus.HALTED, MarketStatus.CANCEL_ONLY})
AT_MARKET = frozenset({OrderType.MARKET, OrderType.STOP})


class OrderCandidate:
    """A draft with all that intake needs to decide on it. `reason` is set as soon as it is rejected."""

    __slots__ = (
        "bound",
        "draft",
        "fee_account",
        "hold",
        "hold_account",
        "institution",
        "maker_rate",
        "number",
        "order_id",
        "origin",
        "reason",
        "receive_account",
        "taker_rate",
        "wallet_account",
    )

    def __init__(self, draft: NewOrder, member: Member, tops: dict[int, Top]) -> None:
        market, buying = draft.market, draft.side is Side.BUY
        pays, gets = (market.quote, market.base) if buying else (market.base, market.quote)
        institution = member.institution_id or ""
        self.draft = draft
        self.origin = current()
        self.institution = institution
        self.order_id = uuid7()
        self.number = 0
        self.hold_account = account_book.of_user(draft.user_id, institution, pays.id)
        self.receive_account = account_book.of_user(draft.user_id, institution, gets.id)
        self.fee_account = account_book.of_fees(institution, gets.id)
        self.maker_rate, self.taker_rate = fee_rates.rates(institution, market.id)
        self.bound = _bound(draft, tops)
        self.wallet_account = 0  # that funds come from which a bank's own wallet has reserved
        self.reason: Reason | Refusal | None = None
        if market.status in REFUSING:
            self.reason = Reason.MARKET_HALTED
        elif not self.bound:
            self.reason = Reason.NO_LIQUIDITY
        scale = market.scale
        self.hold = (
            scale.quote_minor(self.bound, draft.quantity) if buying else scale.base_minor(draft.quantity)
        )

    def check(self) -> OrderCheck:
        draft = self.draft
        limited = draft.type is OrderType.LIMIT
        return order_check(
            draft.market, draft.user_id, self.institution, draft.side, draft.quantity, self.bound, limited
        )

    def envelope(self, reply_to: str) -> Envelope:
        draft = self.draft
        place = Place(
            id=self.order_id,
            instrument=draft.market.id,
            user=draft.user_id,
            side=draft.side,
            type=draft.type,
            time_in_force=draft.time_in_force,
            price=self.bound,
            quantity=draft.quantity,
            stop_price=draft.stop_price,
            post_only=draft.post_only,
            prevention=draft.prevention,
            collar_ppm=draft.market.collar_ppm,
        )
        ticket = Ticket(
            self.number,
            self.hold_account,
            self.receive_account,
            self.fee_account,
            self.maker_rate,
            self.taker_rate,
            draft.client_order_id,
        )
        return Envelope(place, draft.trace_id, reply_to, ticket)


def prepare(drafts: Sequence[NewOrder], member: Member) -> list[OrderCandidate]:
    tops = best_prices({draft.market for draft in drafts if draft.type is OrderType.MARKET})
    return [OrderCandidate(draft, member, tops) for draft in drafts]


def order_check(
    market: Market, user_id: str, institution: str, side: Side, lots: int, bound: int, limited: bool
) -> OrderCheck:
    """An order as the pre-trade gate sees it; `bound` is the worst price it may trade at, in ticks, which its
    owner named if it is `limited`."""
    notional = Decimal(market.scale.quote_minor(bound, lots)).scaleb(-market.quote.scale)
    return OrderCheck(
        user_id=user_id,
        institution_id=institution,
        instrument=market.id,
        symbol=market.symbol,
        base=market.base.id,
        unit_places=unit_places(market.base.scale),
        currency=market.quote.code,
        buying=side is Side.BUY,
        lots=lots,
        lot_size=market.lot_size,
        notional=notional,
        limit_price=bound * market.tick_size if limited else None,
    )


def _bound(draft: NewOrder, tops: dict[int, Top]) -> int:
    """The worst price the order may trade at, in ticks; 0 for a market order with nobody to trade with.

    The collar is rounded inward: a buyer never pays more, a seller never gets less than it says.
    """
    if draft.type not in AT_MARKET:
        return draft.price
    collar = draft.market.collar_ppm
    if draft.type is OrderType.STOP:
        reference = draft.stop_price
    else:
        bid, ask = tops[draft.market.id]
        reference = ask if draft.side is Side.BUY else bid
    if draft.side is Side.BUY:
        return reference * (PPM + collar) // PPM
    return -(-reference * (PPM - collar) // PPM)
