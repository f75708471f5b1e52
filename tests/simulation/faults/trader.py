"""A trader's program, as a good one is written: every order has a client_order_id of its own, and whatever is
cut off, refused with 503 or answered with 202 is sent again under the same one until its outcome is known.

No action ends unknown: one that is not known after `PATIENCE` is a problem. So while a trader is idle, its
`promises` are complete.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Any

from matching.order_status import CLOSED, OrderStatus
from tests.simulation.faults.client import Client, CutOff
from tests.simulation.faults.playground import PLAYGROUNDS, invent
from tests.simulation.faults.promises import Promises, State
from tests.simulation.faults.tally import Switch, Tally

PATIENCE = 120.0  # seconds for one action, retries included
RETRY_SECONDS = 0.1
PACE = 0.12  # mean seconds between two actions of a trader
MOST_OPEN = 20  # orders; above, it cancels rather than places
BATCH = (2, 8)
IMPATIENT = 0.3  # how often it cancels an order that it is told is pending
REFUSALS = (
    "quantity_not_above_filled",
    "insufficient_funds",
    "post_only_would_cross",
    "self_trade",
    "amendment_refused",
    "hold_cannot_grow",  # with a bank's own wallet
)

Known = Callable[
    [int, Any, float], bool
]  # status, body, when it was sent → whether the action's end is known


class Trader(threading.Thread):
    """Acts a few times a second while the switch is on."""

    def __init__(self, name: str, client: Client, seed: str, switch: Switch, tally: Tally) -> None:
        super().__init__(name=name, daemon=True)
        self.promises = Promises()
        self._client = client
        self._chance = random.Random(seed)
        self._switch = switch
        self._tally = tally
        self._idle = switch.join()
        self._placed = 0

    def run(self) -> None:
        while not self._switch.ended.is_set():
            if not self._switch.on.is_set():
                self._idle.set()
                self._switch.on.wait()
                continue
            try:
                self._act()
            except Exception as error:  # an answer that is not as documented: shown with the other problems
                self.promises.problem(f"{self.name}: {error!r}")
            self._switch.ended.wait(self._chance.uniform(0, 2 * PACE))
        self._idle.set()
        self._client.close()

    def _act(self) -> None:
        opened = self.promises.open_orders()
        draw = self._chance.random()
        if opened and (draw < 0.20 or len(opened) > MOST_OPEN):
            self._cancel(self._chance.choice(opened))
        elif opened and draw < 0.32:
            self._amend(self._chance.choice(opened))
        elif opened and draw < 0.42:
            self._look(self._chance.choice(opened))
        elif opened and draw < 0.44:
            self._cancel_all(self._chance.choice(list(PLAYGROUNDS)))
        elif draw < 0.56:
            self._place(self._chance.randint(*BATCH))
        else:
            self._place(1)

    # Actions

    def _place(self, count: int) -> None:
        orders = [invent(self._chance, f"{self.name}-{self._placed + number}") for number in range(count)]
        self._placed += count
        for order in orders:
            price = None if order["price"] is None else Decimal(order["price"])
            self.promises.ask(order["client_order_id"], (price, Decimal(order["quantity"])))
            self._tally.count("orders")
        path, body = ("orders", orders[0]) if count == 1 else ("orders/batch", {"orders": orders})

        def known(status: int, answer: Any, sent: float) -> bool:
            if count > 1 and status != 200:
                return self._unexpected("batch", status, answer)
            items = [(status, answer)] if count == 1 else [_item(each) for each in answer["items"]]
            pairs = zip(orders, items, strict=True)
            unknown = [order for order, item in pairs if not self._order_known(order, *item, sent)]
            if unknown:
                self._lose_patience(unknown[0]["client_order_id"])
            return not unknown

        self._until_known("POST", path, body, known)

    def _order_known(self, order: dict[str, Any], status: int, body: Any, sent: float) -> bool:
        self._tally.count(f"order {status}")
        if status not in (200, 201, 202, 422):
            return self._unexpected("order", status, body)
        state = self._saw(body if status != 422 else body["order"], f"order answered {status}")
        if state.client_order_id != order["client_order_id"]:
            self.promises.problem(f"asked for {order}, told of {state}")
        if status != 200 and (state.status is OrderStatus.PENDING) is not (status == 202):
            self.promises.problem(f"answered {status} with {state}")
        if state.status is OrderStatus.PENDING:
            return False
        self._tally.acked(PLAYGROUNDS[order["symbol"]].group, sent)
        return True

    def _lose_patience(self, client_order_id: str) -> None:
        order = self.promises.seen.get(client_order_id)
        if order is not None and self._chance.random() < IMPATIENT:
            if self._chance.random() < 0.5:
                self._cancel(order)
            else:
                self._cancel_all(order.symbol)

    def _cancel(self, order: State) -> None:
        def known(status: int, body: Any, sent: float) -> bool:
            self._tally.count(f"cancel {status}")
            match status, body.get("code"):
                case 200, _:
                    self._saw_closed(body, "cancel answered 200", {OrderStatus.CANCELLED})
                case 202, _:
                    self._saw(body, "cancel answered 202")
                    return False
                case 409, "order_not_open":
                    self._saw_closed(body["order"], "cancel answered 409")
                case _:
                    return self._unexpected("cancel", status, body)
            return True

        self._until_known("DELETE", f"orders/{order.order_id}", None, known)

    def _amend(self, order: State) -> None:
        if order.price is None:
            return
        ground = PLAYGROUNDS[order.symbol]
        terms = ground.price(self._chance), order.filled + ground.quantity(self._chance)
        self.promises.ask(order.client_order_id, terms)

        def known(status: int, body: Any, sent: float) -> bool:
            self._tally.count(f"amend {status}")
            match status, body.get("code"):
                case 200, _:
                    self.promises.granted(order.client_order_id, terms)
                    self._saw(body, "amend answered 200")
                case 202, _:
                    self._saw(body, "amend answered 202")
                    return False
                case 409, "amendment_in_progress" | "order_pending" | "order_changed":
                    return False
                case 409, "order_not_open":
                    self._saw_closed(body["order"], "amend answered 409")
                case (409, code) | (422, code) if code in REFUSALS:
                    self._saw(body["order"], f"amend answered {status}")
                case _:
                    return self._unexpected("amend", status, body)
            return True

        body = {"price": str(terms[0]), "quantity": str(terms[1])}
        self._until_known("PATCH", f"orders/{order.order_id}", body, known)

    def _look(self, order: State) -> None:
        def known(status: int, body: Any, sent: float) -> bool:
            self._tally.count(f"look {status}")
            if status != 200:
                return self._unexpected("look", status, body)
            self._saw(body, "look answered 200")
            return True

        self._until_known("GET", f"orders/{order.order_id}", None, known)

    def _cancel_all(self, symbol: str) -> None:
        open_orders = {each.client_order_id for each in self.promises.open_orders() if each.symbol == symbol}

        def known(status: int, body: Any, sent: float) -> bool:
            self._tally.count(f"cancel-all {status}")
            if status == 202:
                return False
            if status != 200:
                return self._unexpected("cancel-all", status, body)
            for order in body["items"]:
                self._saw_closed(order, "cancel-all answered 200", {OrderStatus.CANCELLED})
            self.promises.over |= open_orders
            return True

        self._until_known("DELETE", f"orders?symbol={symbol.replace('/', '-')}", None, known)

    # Asking until it is known

    def _until_known(self, method: str, path: str, body: Any, known: Known) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._ask(method, path, body)
            if answer is not None and known(*answer):
                return
            if time.monotonic() > deadline:
                self.promises.problem(f"unknown after {PATIENCE:g} s: {method} {path} {body}")
                return
            self._switch.ended.wait(RETRY_SECONDS)
            if self._switch.ended.is_set():
                return

    def _ask(self, method: str, path: str, body: Any) -> tuple[int, Any, float] | None:
        """The answer and when it was asked for; None if it says nothing."""
        sent = time.monotonic()
        try:
            status, answer = self._client.call(method, path, body)
            if status == 401:  # the token has expired
                self._tally.count(f"sign-in {self._client.sign_in()}")
                return None
        except CutOff as error:
            self._tally.count("timed out" if isinstance(error, TimeoutError) else "cut off")
            return None
        if status == 503:
            self._tally.count("503")
            return None
        return status, answer, sent

    def _unexpected(self, what: str, status: int, body: Any) -> bool:
        self._tally.count("unexpected")
        self.promises.problem(f"{what} answered {status}: {body}")
        return status < 500  # what failed inside may have been done: ask again

    def _saw(self, order: dict[str, Any], where: str) -> State:
        state = State.of_answer(order)
        self.promises.saw(state, where)
        return state

    def _saw_closed(self, order: dict[str, Any], where: str, among: Collection[OrderStatus] = CLOSED) -> None:
        state = self._saw(order, where)
        if state.status not in among:
            self.promises.problem(f"{where} with {state}")


def _item(item: dict[str, Any]) -> tuple[int, Any]:
    """Status and body of an order in a batch's answer."""
    return item["status"], item.get("order") or item["problem"]
