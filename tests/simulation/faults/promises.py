"""What a trader was told of each order. Every answer is a promise that all later answers must keep.

A `State` is what an observer saw: a client in an answer, or the checks in PostgreSQL. The states of an order, in
the order in which they were seen, must follow the table of moves; what was filled stays filled; a closed one
stays as it is. Known limitation: `updated_at` and the average price are not compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from matching.order_status import CLOSED, TRANSITIONS, OrderStatus

Terms = tuple[Decimal | None, Decimal]  # price (None: at market) and quantity


@dataclass(frozen=True, slots=True)
class State:
    """An order at a moment, in the units of the API."""

    order_id: str
    number: int
    client_order_id: str
    symbol: str
    status: OrderStatus
    price: Decimal | None
    quantity: Decimal
    filled: Decimal
    remaining: Decimal
    fee: Decimal
    reason: str

    @classmethod
    def of_answer(cls, order: dict[str, Any]) -> State:
        """Raises KeyError, ValueError, ArithmeticError if it is no order as the API documents it."""
        return cls(
            order_id=order["order_id"],
            number=order["number"],
            client_order_id=order["client_order_id"],
            symbol=order["symbol"],
            status=OrderStatus(order["status"]),
            price=None if order["price"] is None else Decimal(order["price"]),
            quantity=Decimal(order["quantity"]),
            filled=Decimal(order["filled_quantity"]),
            remaining=Decimal(order["remaining_quantity"]),
            fee=Decimal(order["fee"]),
            reason=order["reason"] or "",
        )

    @property
    def terms(self) -> Terms:
        return self.price, self.quantity

    @property
    def closed(self) -> bool:
        return self.status in CLOSED


def reachable(before: OrderStatus, after: OrderStatus) -> bool:
    """Whether legal moves lead from `before` to `after`, staying included."""
    found, new = {before}, {before}
    while new:
        new = {following for status in new for following in TRANSITIONS[status]} - found
        found |= new
    return after in found


def breach(before: State, after: State) -> str:
    """How `after` breaks what `before` promised; empty if it keeps it."""
    if (before.order_id, before.number) != (after.order_id, after.number):
        return "is another order"
    if before.closed and before != after:
        return "changed although it was closed"
    if not reachable(before.status, after.status):
        return "took an illegal move"
    if after.filled < before.filled:
        return "lost a fill"
    return ""


@dataclass
class Promises:
    """What one trader asked for and was told, by client order id. Others look while the trader is idle."""

    asked: dict[str, set[Terms]] = field(default_factory=dict)  # the terms that the order may have
    seen: dict[str, State] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)  # orders that may not be seen open again
    problems: list[str] = field(default_factory=list)

    def ask(self, client_order_id: str, terms: Terms) -> None:
        """From now on the order may have these terms too."""
        self.asked.setdefault(client_order_id, set()).add(terms)

    def granted(self, client_order_id: str, terms: Terms) -> None:
        """From now on it must have these terms."""
        self.asked[client_order_id] = {terms}

    def saw(self, state: State, where: str) -> None:
        """Compare with what was seen before, and remember."""
        before = self.seen.get(state.client_order_id)
        wrong = breach(before, state) if before is not None else ""
        if state.client_order_id not in self.asked:
            wrong = "was never asked for"
        elif state.terms not in self.asked[state.client_order_id]:
            wrong = wrong or "has terms that nobody asked for"
        elif state.client_order_id in self.over and not state.closed:
            wrong = wrong or "is open although it was to be over"
        if wrong:
            self.problem(f"{where}: order {wrong}: first {before}, then {state}")
            self.granted(state.client_order_id, state.terms)  # told once
            self.over.discard(state.client_order_id)
        self.seen[state.client_order_id] = state

    def problem(self, text: str) -> None:
        self.problems.append(text)

    def take_problems(self) -> list[str]:
        """Those since the last call."""
        taken, self.problems = self.problems, []
        return taken

    def open_orders(self) -> list[State]:
        return [state for state in self.seen.values() if not state.closed]
