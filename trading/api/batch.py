"""REST: many orders in one request, each answered on its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema

from exchange.base.http.json_decoding import invalid
from exchange.base.http.openapi import answers, json
from exchange.base.http.problems import FieldError
from exchange.platform.rest.view import ApiRequest, ApiView, allowed, answer, charge, raw_body
from trading.api import examples, outcomes
from trading.api.bodies import BatchAnswer, BatchItem
from trading.api.json_body import load
from trading.api.openapi import RATE_FIELDS, order_problems
from trading.api.order_request import PlaceOrders, Reader, read_order
from trading.api.orders import may_write
from trading.orders.order import NewOrder
from trading.orders.place import Placed, place_orders

MAX_ORDERS = 100
BATCH_FIELDS = dict.fromkeys(PlaceOrders.__struct_fields__)


class BatchView(ApiView):
    permission = "orders:read"

    @extend_schema(
        operation_id="placeOrders",
        summary="Place up to 100 orders, each answered on its own",
        description="They are accepted together and reach the market in this order; one that fails does not "
        "stop the others. The request counts as many orders as it has.",
        tags=["orders"],
        parameters=RATE_FIELDS,
        request=json(PlaceOrders),
        examples=examples.PLACE_ORDERS,
        responses={
            200: answers(BatchAnswer, "What became of each, in the order of the request"),
            **order_problems(400, 429),
        },
    )
    def post(self, request: ApiRequest) -> HttpResponse:
        member = may_write(request)
        orders = _orders(load(raw_body(request)))
        read = [read_order(raw, member.user_id, request.trace_id) for raw in orders]
        good = [order for order in read if isinstance(order, NewOrder)]
        if good:
            allowance, placed = place_orders(good, member, cost=len(orders))
            fields = allowed(allowance, len(orders))
        else:
            fields, placed = charge(member, len(orders)), []
        results = iter(placed)
        items = [_item(each, results, request.trace_id) for each in read]
        return answer(BatchAnswer(items), headers=fields)


def _item(read: NewOrder | list[FieldError], results: Iterator[Placed], trace_id: str) -> BatchItem:
    outcome = invalid(read) if isinstance(read, list) else outcomes.placed(next(results))
    return outcomes.item(outcome, trace_id)


def _orders(raw: Any) -> list[Any]:
    if type(raw) is not dict:
        raise invalid([FieldError("", "invalid", "must be an object with the field orders")])
    reader = Reader(raw, BATCH_FIELDS)
    orders = raw.get("orders")
    if type(orders) is not list or not 1 <= len(orders) <= MAX_ORDERS:
        reader.wrong("orders", f"must be a list of 1 to {MAX_ORDERS} orders")
    if reader.errors:
        raise invalid(reader.errors)
    assert isinstance(orders, list)
    return orders
