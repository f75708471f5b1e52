"""What the order path says, as HTTP: which status, and which problem with which code."""

from __future__ import annotations

from typing import Any

from exchange.base.http.problems import Problem
from matching.core.types import Reason
from matching.order_view import OrderView
from risk.pretrade.gate import Refusal
from trading.api.bodies import BatchItem
from trading.orders.change import Changed, ChangeOutcome
from trading.orders.place import Outcome, Placed

STATUS = {Outcome.CREATED: 201, Outcome.DUPLICATE: 200, Outcome.PENDING: 202}

REASONS: dict[str, str] = {
    Reason.INSUFFICIENT_FUNDS: "You do not have enough available for this order.",
    Reason.MARKET_HALTED: "This market takes no such orders at the moment.",
    Reason.POST_ONLY_WOULD_CROSS: "The order would trade at once, which post_only forbids.",
    Reason.FOK_UNFILLED: "The order could not be filled in full at once.",
    Reason.NO_LIQUIDITY: "Nobody offers a price this order could trade at.",
    Reason.SELF_TRADE: "The order would trade with one of your own.",
    Reason.UNKNOWN_ORDER: "The order is no longer open.",
    Reason.NOT_AMENDABLE: "A market order or stop has no price to change.",
    Reason.QUANTITY_NOT_ABOVE_FILLED: "The new quantity must be above what is filled already.",
    Refusal.USER_BLOCKED: "You may place no orders at the moment; you can cancel those that you have.",
    Refusal.KYC_LEVEL: "You are not identified far enough to trade: see GET /api/v1/kyc.",
    Refusal.RISK_SCORE: "Your account may take no further risk at the moment.",
    Refusal.MAX_ORDER_NOTIONAL: "The order is worth more than one order of yours may be.",
    Refusal.PRICE_BAND: "The price is too far from the market's reference price.",
    Refusal.MAX_OPEN_ORDERS: "You have as many open orders as you may: cancel one first.",
    Refusal.MAX_DAILY_NOTIONAL: "With this order you would trade more today than you may.",
    Refusal.MAX_POSITION: "With this order you would own more of the asset than you may.",
    "ORDER_NOT_OPEN": "The order is no longer open.",
    "ORDER_PENDING": "The order has not reached the market yet; try again.",
    "AMENDMENT_REFUSED": "The order could not be changed so; it is as it was.",
    "ORDER_CHANGED": "Another amendment changed the order meanwhile: look at it and try again.",
    "AMENDMENT_IN_PROGRESS": "Another amendment of this order is under way; try again.",
    "HOLD_CANNOT_GROW": "An order can't hold more than it was placed with: cancel it and place another.",
}


def placed(result: Placed) -> tuple[int, OrderView] | Problem:
    """A status of success with the order, or the problem."""
    order = result.order
    if order is None:
        return Problem(
            409,
            "client_order_id_conflict",
            "You have used this client_order_id for an order with other terms.",
        )
    if result.outcome is Outcome.REJECTED:
        return _about(422, order.reason or "", order)
    return STATUS[result.outcome], order


def item(result: tuple[int, OrderView] | Problem, trace_id: str) -> BatchItem:
    """The same as an element of a batch's answer."""
    if isinstance(result, Problem):
        body: Any = result.body(trace_id)
        return BatchItem(result.status, problem=body)
    status, order = result
    return BatchItem(status, order=order)


def changed(result: Changed) -> tuple[int, OrderView]:
    """200, or 202 while the matcher has not come to it. Raises Problem: 404, 409, 422."""
    if result.order is None:
        raise order_not_found()
    match result.outcome:
        case ChangeOutcome.DONE:
            return 200, result.order
        case ChangeOutcome.PENDING:
            return 202, result.order
        case ChangeOutcome.INSUFFICIENT_FUNDS:
            raise _about(422, Reason.INSUFFICIENT_FUNDS, result.order)
    reason = result.reason or ""
    raise _about(409, "ORDER_NOT_OPEN" if reason == Reason.UNKNOWN_ORDER else reason, result.order)


def order_not_found() -> Problem:
    """Also for the orders of others: the answer does not say that they exist."""
    return Problem(404, "order_not_found", "You have no order with this id.")


def _about(status: int, reason: str, order: OrderView) -> Problem:
    return Problem(status, reason.lower(), REASONS[reason], extra={"order": order})
