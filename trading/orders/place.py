"""Place orders: from checked requests through intake to what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from exchange.base.env import env
from exchange.platform.members.authentication import Member
from exchange.platform.members.rate_limit import Allowance, Spending, spend
from matching.codec import OrderUpdate
from matching.order_status import OrderStatus
from matching.order_view import OrderView
from trading.orders import stored, wallet_funds
from trading.orders.candidates import OrderCandidate, prepare
from trading.orders.intake import Request, intake
from trading.orders.order import NewOrder, new_view


class Outcome(Enum):
    CREATED = "CREATED"
    DUPLICATE = "DUPLICATE"
    CONFLICT = "CONFLICT"
    REJECTED = "REJECTED"
    PENDING = "PENDING"


class Placed(NamedTuple):
    order: OrderView | None  # None with CONFLICT only
    outcome: Outcome


def place_orders(orders: Sequence[NewOrder], member: Member, *, cost: int) -> tuple[Allowance, list[Placed]]:
    """Place orders, in order; each is answered on its own. They cost `cost` orders of the member's rate: none is
    placed if that is not allowed. Raises psycopg.Error, django.db.Error."""
    candidates = prepare(orders, member)
    request = Request(candidates=candidates, spending=Spending(member, cost))
    if env.wallet == "http" and not _reserved(request):
        assert request.allowance is not None
        return request.allowance, []
    intake().submit(request, lambda: not stored.any_pending([c.order_id for c in candidates]))
    assert request.allowance is not None, "it is charged before all else"
    return request.allowance, _placed_all(request) if request.allowance.allowed else []


def _reserved(request: Request) -> bool:
    """Have the bank's own wallet reserve the funds, if the rate allows the orders. Raises WalletUnavailable."""
    assert request.spending is not None
    (request.allowance,) = spend([request.spending])
    request.spending = None
    if request.allowance.allowed:
        wallet_funds.reserve(request.candidates)
    return request.allowance.allowed


def _placed_all(request: Request) -> list[Placed]:
    candidates = request.candidates
    assert request.accepted is not None, "what is late was never committed"
    known = {candidate.order_id for candidate in request.accepted.known}
    late = [
        candidate.order_id
        for candidate in candidates
        if not candidate.reason
        and candidate.order_id not in request.replies
        and candidate.order_id not in known
    ]
    read = stored.order_views(late) if late else {}
    earlier = stored.earlier_orders([c.order for c in candidates if c.order_id in known]) if known else {}
    return [
        _placed(candidate, request, read, earlier, candidate.order_id in known) for candidate in candidates
    ]


def _placed(
    candidate: OrderCandidate,
    request: Request,
    read: dict[str, OrderView],
    earlier: dict[tuple[str, str], tuple[OrderView, int]],
    known: bool,
) -> Placed:
    new, terms = candidate.order, candidate.terms
    if known:
        order, fingerprint = earlier[terms.user, new.client_order_id]
        if fingerprint != new.fingerprint:
            return Placed(None, Outcome.CONFLICT)
        return Placed(order, Outcome.DUPLICATE)
    reply = request.replies.get(candidate.order_id)
    assert request.accepted is not None
    created_at = request.accepted.created_at
    if reply is not None:
        state = next(update for update in reply.updates if update.order == candidate.order_id)
        order = new_view(new, terms, candidate.number, created_at, state)
    elif candidate.reason:
        state = OrderUpdate(
            candidate.order_id, OrderStatus.REJECTED, terms.quantity, 0, "0", "0", candidate.reason, 0
        )
        order = new_view(new, terms, candidate.number, created_at, state)
        order.updated_at = created_at
    else:
        order = read[candidate.order_id]
    outcome = {OrderStatus.REJECTED: Outcome.REJECTED, OrderStatus.PENDING: Outcome.PENDING}.get(
        OrderStatus(order.status)
    )
    return Placed(order, outcome or Outcome.CREATED)
