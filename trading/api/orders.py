"""REST: a trader's orders. What is sent counts towards the order rate; cancelling does not."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema

from exchange.base.http.json_decoding import invalid
from exchange.base.http.openapi import answers, json
from exchange.base.http.problems import Problem
from exchange.base.http.query_string import Query
from exchange.platform.members import authentication
from exchange.platform.members.authentication import Member
from exchange.platform.rest.view import ApiRequest, ApiView, allowed, answer, body, charge, raw_body
from matching.order_status import OrderStatus
from matching.order_view import OrderView as OrderBody
from risk.pretrade import dead_man_switch
from trading.api import examples, outcomes, parameters, queries
from trading.api.bodies import CancelAfter, CancelledOrders, DeadManSwitch, OrderPage
from trading.api.json_body import load
from trading.api.openapi import RATE_FIELDS, order_problems
from trading.api.order_request import AmendOrder, PlaceOrder, read_amendment, read_order
from trading.orders.amend import amend_order
from trading.orders.cancel import cancel_all_orders, cancel_order
from trading.orders.place import place_orders
from trading.reference.catalog import catalog

STATUSES = ", ".join(OrderStatus)
ORDER_ID = parameters.path_id("order_id", "the order_id that placing it gave")


def may_write(request: ApiRequest) -> Member:
    """The member, if they may place and change orders. Raises Problem 403."""
    member = request.member
    authentication.require(member, "orders:write")
    if member.institution_id is None:
        raise Problem(403, "no_institution", "Only members of an institution have accounts to trade with.")
    return member


class OrdersView(ApiView):
    permission = "orders:read"

    @extend_schema(
        operation_id="placeOrder",
        summary="Place an order",
        tags=["orders"],
        parameters=RATE_FIELDS,
        request=json(PlaceOrder),
        examples=examples.PLACE_ORDER,
        responses={
            201: answers(OrderBody, "Accepted; the state after matching"),
            200: answers(OrderBody, "Placed before under this client_order_id: the order as it is now"),
            202: answers(OrderBody, "Accepted and durable; the matcher has not come to it yet"),
            **order_problems(400, 409, 422, 429),
        },
    )
    def post(self, request: ApiRequest) -> HttpResponse:
        member = may_write(request)
        order = read_order(load(raw_body(request)), member.user_id, request.trace_id)
        if isinstance(order, list):
            charge(member, 1)
            raise invalid(order)
        allowance, results = place_orders([order], member, cost=1)
        fields = allowed(allowance, 1)
        placed = outcomes.placed(results[0])
        if isinstance(placed, Problem):
            placed.headers |= fields
            raise placed
        status, view = placed
        return answer(view, status, fields)

    @extend_schema(
        operation_id="listOrders",
        summary="Your orders, newest first",
        tags=["orders"],
        parameters=[
            parameters.SYMBOL,
            OpenApiParameter(
                "status",
                {
                    "type": "array",
                    "items": {"type": "string", "enum": [status.value for status in OrderStatus]},
                },
                explode=False,
                description="one or several, with commas between",
            ),
            OpenApiParameter(
                "from", {"type": "string", "format": "date-time"}, description="placed at or after"
            ),
            OpenApiParameter("to", {"type": "string", "format": "date-time"}, description="placed before"),
            *parameters.PAGE,
        ],
        responses={200: answers(OrderPage, "A page of orders"), **order_problems(400)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        query = Query(request)
        wanted = queries.OrderFilter(
            parameters.market(query), _statuses(query), query.moment("from"), query.moment("to")
        )
        limit, before = query.limit(), query.cursor()
        query.check()
        rows = queries.orders(request.member.user_id, wanted, before, limit)
        items, cursor = parameters.page(rows, limit, lambda order: order.order_id)
        return answer(OrderPage(list(items), cursor))

    @extend_schema(
        operation_id="cancelOrders",
        summary="Cancel all your open orders, in one market or in all",
        tags=["orders"],
        parameters=[parameters.SYMBOL],
        responses={
            200: answers(CancelledOrders, "The orders that were cancelled"),
            202: answers(CancelledOrders, "Will be done; those that are cancelled already"),
            **order_problems(400),
        },
    )
    def delete(self, request: ApiRequest) -> HttpResponse:
        member = may_write(request)
        query = Query(request)
        market = parameters.market(query)
        query.check()
        cancelled, late = cancel_all_orders(member.user_id, market, request.trace_id)
        return answer(CancelledOrders(cancelled), 202 if late else 200)


class CancelAfterView(ApiView):
    permission = "orders:read"

    @extend_schema(
        operation_id="cancelAfter",
        summary="Have all your open orders cancelled unless you call again in time",
        description="A dead-man switch for programs that may lose their connection. It stands until it goes off "
        "or is taken away, whatever is restarted meanwhile, and goes off within about a second after its time.",
        tags=["orders"],
        request=json(CancelAfter),
        responses={200: answers(DeadManSwitch, "The switch as it is now"), **order_problems(400)},
    )
    def post(self, request: ApiRequest) -> HttpResponse:
        member = may_write(request)
        wish = body(request, CancelAfter)
        return answer(DeadManSwitch(*dead_man_switch.arm(member.user_id, wish.timeout)))


class OrderView(ApiView):
    permission = "orders:read"

    @extend_schema(
        operation_id="getOrder",
        summary="One of your orders",
        tags=["orders"],
        parameters=[ORDER_ID],
        responses={200: answers(OrderBody, "The order"), **order_problems(404)},
    )
    def get(self, request: ApiRequest, order_id: str) -> HttpResponse:
        return answer(_own_order(request, order_id))

    @extend_schema(
        operation_id="amendOrder",
        summary="Change price or quantity of an open order",
        tags=["orders"],
        parameters=[ORDER_ID, *RATE_FIELDS],
        request=json(AmendOrder),
        examples=examples.AMEND_ORDER,
        responses={
            200: answers(OrderBody, "Changed; the state after matching"),
            202: answers(OrderBody, "Will be changed; the order as it is until the matcher comes to it"),
            **order_problems(400, 404, 409, 422, 429),
        },
    )
    def patch(self, request: ApiRequest, order_id: str) -> HttpResponse:
        member = may_write(request)
        raw = load(raw_body(request))
        fields = charge(member, 1)
        order = _own_order(request, order_id)
        market = catalog.market(order.symbol)
        assert market is not None, order
        terms = read_amendment(raw, market, order)
        if isinstance(terms, list):
            raise invalid(terms)
        price, quantity = terms
        result = amend_order(
            member, order.order_id, price=price, quantity=quantity, trace_id=request.trace_id
        )
        status, changed = outcomes.changed(result)
        return answer(changed, status, fields)

    @extend_schema(
        operation_id="cancelOrder",
        summary="Cancel an open order",
        tags=["orders"],
        parameters=[ORDER_ID],
        responses={
            200: answers(OrderBody, "Cancelled"),
            202: answers(OrderBody, "Will be cancelled; the order as it is until the matcher comes to it"),
            **order_problems(404, 409),
        },
    )
    def delete(self, request: ApiRequest, order_id: str) -> HttpResponse:
        member = may_write(request)
        result = cancel_order(member.user_id, str(_identifier(order_id)), request.trace_id)
        status, order = outcomes.changed(result)
        return answer(order, status)


def _own_order(request: ApiRequest, order_id: str) -> OrderBody:
    order = queries.order(request.member.user_id, _identifier(order_id))
    if order is None:
        raise outcomes.order_not_found()
    return order


def _identifier(order_id: str) -> UUID:
    return parameters.identifier(order_id, outcomes.order_not_found())


def _statuses(query: Query) -> Collection[OrderStatus]:
    text = query.text("status")
    if text is None:
        return ()
    names = text.split(",")
    if not set(names) <= set(OrderStatus):
        query.wrong("status", f"must be one or several, with commas between, of {STATUSES}")
        return ()
    return {OrderStatus(name) for name in names}
