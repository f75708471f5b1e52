"""REST: trades, of a market for all, and a trader's own with their side of them."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema

from exchange.base.decimals import plain
from exchange.base.http.openapi import answers, problems
from exchange.base.http.problems import Problem
from exchange.base.http.query_string import Query
from exchange.platform.rest.view import ApiRequest, ApiView, answer, is_signed_in, member_of
from trading.api import parameters, queries
from trading.api.bodies import OwnSide, TradePage
from trading.api.bodies import TradeView as TradeBody
from trading.api.openapi import OPTIONAL_SIGN_IN
from trading.models import Trade
from trading.reference.catalog import catalog


class TradesView(ApiView):
    @extend_schema(
        operation_id="listTrades",
        summary="The latest trades of a market",
        tags=["market data"],
        parameters=[parameters.REQUIRED_SYMBOL, *parameters.PAGE],
        responses={200: answers(TradePage, "A page of trades"), **problems(400)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        query = Query(request)
        market, limit, before = parameters.market(query, required=True), query.limit(), query.cursor()
        query.check()
        assert market is not None
        return _page(queries.market_trades(market, before, limit), limit, None)


class MyTradesView(ApiView):
    permission = "orders:read"

    @extend_schema(
        operation_id="listMyTrades",
        summary="Your trades, newest first",
        tags=["orders"],
        parameters=[parameters.SYMBOL, *parameters.PAGE],
        responses={200: answers(TradePage, "A page of trades, with your side of each"), **problems(400)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        query = Query(request)
        market, limit, before = parameters.market(query), query.limit(), query.cursor()
        query.check()
        user_id = request.member.user_id
        return _page(queries.own_trades(user_id, market, before, limit), limit, user_id)


class TradeView(ApiView):
    """Public; who is signed in sees their own side too."""

    @extend_schema(
        operation_id="getTrade",
        summary="One trade",
        tags=["market data"],
        parameters=[parameters.path_id("trade_id", "the trade's id")],
        auth=OPTIONAL_SIGN_IN,
        responses={
            200: answers(TradeBody, "The trade, with your side of it if you are signed in and took part"),
            **problems(401, 403, 404),
        },
    )
    def get(self, request: ApiRequest, trade_id: str) -> HttpResponse:
        missing = Problem(404, "trade_not_found", "There is no trade with this id.")
        user_id = member_of(request, "orders:read").user_id if is_signed_in(request) else None
        trade = queries.trade(parameters.identifier(trade_id, missing))
        if trade is None:
            raise missing
        return answer(_view(trade, user_id))


def _page(rows: list[Trade], limit: int, user_id: str | None) -> HttpResponse:
    items, cursor = parameters.page(rows, limit, lambda trade: trade.pk)
    return answer(TradePage([_view(trade, user_id) for trade in items], cursor))


def _view(trade: Trade, user_id: str | None) -> TradeBody:
    view = TradeBody(
        trade_id=str(trade.pk),
        number=trade.number,
        symbol=catalog.by_id(trade.instrument_id).symbol,
        price=plain(trade.price),
        quantity=plain(trade.quantity),
        side="SELL" if trade.is_buyer_maker else "BUY",
        is_buyer_maker=trade.is_buyer_maker,
        executed_at=trade.executed_at,
    )
    if user_id == str(trade.buyer_id):
        view.own = _own_side(trade, bought=True)
    elif user_id == str(trade.seller_id):
        view.own = _own_side(trade, bought=False)
    return view


def _own_side(trade: Trade, *, bought: bool) -> OwnSide:
    market = catalog.by_id(trade.instrument_id)
    order, fee, asset = (
        (trade.buyer_order_id, trade.buyer_fee, market.base)
        if bought
        else (trade.seller_order_id, trade.seller_fee, market.quote)
    )
    return OwnSide(
        order_id=str(order),
        side="BUY" if bought else "SELL",
        liquidity="MAKER" if trade.is_buyer_maker is bought else "TAKER",
        fee=plain(fee),
        fee_asset=asset.code,
    )
