"""REST: what may be traded."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema

from exchange.base.decimals import plain
from exchange.base.http.openapi import answers, problems
from exchange.base.http.query_string import Query
from exchange.platform.rest.view import ApiRequest, ApiView, answer
from matching.core.scale import minor_text, trim
from trading.api.bodies import Symbols, SymbolView
from trading.reference.catalog import Market, catalog

COLLAR_SCALE = 6  # a collar is kept in millionths


class SymbolsView(ApiView):
    @extend_schema(
        operation_id="listSymbols",
        summary="All markets, with their steps, limits and status",
        tags=["market data"],
        responses={200: answers(Symbols, "All markets"), **problems(400)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        Query(request).check()
        return answer(Symbols([_view(market) for market in catalog.markets()]))


def _view(market: Market) -> SymbolView:
    return SymbolView(
        symbol=market.symbol,
        slug=market.slug,
        base=market.base.code,
        quote=market.quote.code,
        base_scale=market.base.scale,
        quote_scale=market.quote.scale,
        tick_size=plain(market.tick_size),
        lot_size=plain(market.lot_size),
        min_quantity=trim(market.scale.quantity_text(market.min_lots)),
        max_quantity=trim(market.scale.quantity_text(market.max_lots)),
        min_notional=trim(minor_text(market.min_notional, market.quote.scale)),
        collar=trim(minor_text(market.collar_ppm, COLLAR_SCALE)),
        status=market.status.value,
    )
