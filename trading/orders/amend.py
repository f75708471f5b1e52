"""Amend an order of a user: another price, another quantity."""

from __future__ import annotations

from exchange.base.env import env
from exchange.base.ids import uuid7
from exchange.platform.members.authentication import Member
from matching.core.commands import Amend
from trading.orders import amendment_terms, stored, wallet_funds
from trading.orders.change import ORDER_NOT_OPEN, Changed, ChangeOutcome, change
from trading.orders.pretrade import judge_amendment


def amend_order(
    member: Member, order_id: str, *, price: int | None, quantity: int | None, trace_id: str
) -> Changed:
    """Change price (ticks) or total quantity (lots) of one of the member's orders; None leaves it as it is."""
    order = stored.own_order(member.user_id, order_id)
    if order is None:
        return Changed(None, ChangeOutcome.NOT_FOUND)
    terms = amendment_terms.terms(order, price, quantity)
    if env.wallet == "http":
        terms = wallet_funds.bounded(order, terms)
    refused = ORDER_NOT_OPEN if order.closed_at is not None else terms.refused
    refused = refused or judge_amendment(order, terms, member.institution_id or "")
    command = Amend(uuid7(), order.instrument_id, order_id, terms.worst_price, terms.quantity)
    return change(order, command, trace_id, refused, terms)
