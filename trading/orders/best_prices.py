"""The best bid and ask of a market as of its last settlement."""

from __future__ import annotations

from collections.abc import Iterable

import redis
from django.db.models import Max, Min

from exchange.base.redis import Circuit, client
from matching.order_status import RESTING
from matching.stream import read_tops
from trading.models import Order
from trading.reference.catalog import Market

Top = tuple[int, int]  # best bid and ask in ticks, 0 for an empty side


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


_circuit = Circuit()
