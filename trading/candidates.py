"""From a draft to an order that could be accepted: where its funds are, what it must hold, what it may trade
at.

Runs in the request's thread, before the batch: nothing here locks or writes (but that a user's account is
opened at first need). The last word on funds has `trading.acceptance`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from decimal import Decimal

import redis
from django.db.models import Max, Min

from exchange.audit.origin import current
from exchange.ids import uuid7
from exchange.members.session import Member
from exchange.redis import Circuit, client
from matching.codec import Envelope, Ticket
from matching.core.commands import Place
from matching.core.scale import PPM
from matching.core.types import MarketStatus, OrderType, Reason, Side
from matching.stream import read_tops
from risk.counts import unit_places
from risk.gate import Ask, Refusal
from trading.accounts import account_book
from trading.catalog import Market
from trading.fees import in_force
from trading.models import Order
from trading.shapes import Draft
from trading.status import RESTING

FEE_KEEP_SECONDS = 1.0
REFUSING = frozenset({MarketStatus.HALTED, MarketStatus.CANCEL_ONLY})
AT_MARKET = frozenset({OrderType.MARKET, OrderType.STOP})

Top = tuple[int, int]  # best bid and ask in ticks, 0 for an empty side


class Candidate:
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

    def __init__(self, draft: Draft, member: Member, tops: dict[int, Top]) -> None:
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
        self.maker_rate, self.taker_rate = _fees.rates(institution, market.id)
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

    def ask(self) -> Ask:
        draft = self.draft
        limited = draft.type is OrderType.LIMIT
        return ask_of(
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


def prepare(drafts: Sequence[Draft], member: Member) -> list[Candidate]:
    tops = best_prices({draft.market for draft in drafts if draft.type is OrderType.MARKET})
    return [Candidate(draft, member, tops) for draft in drafts]


def ask_of(
    market: Market, user_id: str, institution: str, side: Side, lots: int, bound: int, limited: bool
) -> Ask:
    """An order as the pre-trade gate sees it; `bound` is the worst price it may trade at, in ticks, which its
    owner named if it is `limited`."""
    notional = Decimal(market.scale.quote_minor(bound, lots)).scaleb(-market.quote.scale)
    return Ask(
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


def best_prices(markets: Iterable[Market]) -> dict[int, Top]:
    """Best prices as of the last settlement, from Redis or, if it is away or does not know, from
    PostgreSQL."""
    wanted = [market.id for market in markets]
    if not wanted:
        return {}
    tops: dict[int, Top] = {}
    if not _circuit.away():
        try:
            tops = read_tops(client(), wanted)
            _circuit.works()
        except redis.RedisError as error:
            _circuit.failed(error)
    return {market.id: tops.get(market.id) or _top_in_database(market) for market in markets}


def _top_in_database(market: Market) -> Top:
    open_orders = Order.objects.filter(instrument_id=market.id, closed_at__isnull=True, status__in=RESTING)
    bid = open_orders.filter(side="BUY").aggregate(best=Max("price"))["best"]
    ask = open_orders.filter(side="SELL").aggregate(best=Min("price"))["best"]
    ticks = [market.scale.to_ticks(price) or 0 if price is not None else 0 for price in (bid, ask)]
    return ticks[0], ticks[1]


def _bound(draft: Draft, tops: dict[int, Top]) -> int:
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


class _Fees:
    """Fee rates in millionths by institution and instrument, read anew each second."""

    def __init__(self) -> None:
        self._rates: dict[tuple[str, int | None], tuple[int, int]] = {}
        self._read_at = float("-inf")

    def rates(self, institution: str, instrument: int) -> tuple[int, int]:
        """Maker and taker rate: the instrument's own schedule, else the institution's general one, else
        none."""
        if time.monotonic() - self._read_at >= FEE_KEEP_SECONDS:
            self._rates = {
                (str(row.institution_id), row.instrument_id): (
                    int(row.maker.scaleb(6)),
                    int(row.taker.scaleb(6)),
                )
                for row in in_force()
                if row.maker is not None and row.taker is not None
            }
            self._read_at = time.monotonic()
        return self._rates.get((institution, instrument)) or self._rates.get((institution, None)) or (0, 0)


_fees = _Fees()
_circuit = Circuit()
