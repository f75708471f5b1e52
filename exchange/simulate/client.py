"""A simulated trader on the public REST API, as any program would be one."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import httpx
from httpx import codes

from exchange.simulate.market import Quote, Take, Terms

OPEN = "PENDING,OPEN,PARTIALLY_FILLED"
MOST = 500  # open orders a trader is asked for
REFUSALS = {codes.UNPROCESSABLE_ENTITY, codes.CONFLICT, codes.NOT_FOUND}  # the market moved on


class Unexpected(Exception):
    """An answer that a right request should not get."""


class Trader:
    """Signs in when it must. Raises httpx.HTTPError where there is no answer, else `Unexpected`."""

    def __init__(self, http: httpx.Client, email: str, password: str) -> None:
        self.email = email
        self._http = http
        self._password = password
        self._token = ""
        self._names = (f"sim-{secrets.token_hex(4)}-{number}" for number in itertools.count(1))

    def balances(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Available and total, by asset."""
        items = self._ask("GET", "/balances").json()["items"]
        return {each["asset"]: (Decimal(each["available"]), Decimal(each["total"])) for each in items}

    def quotes(self, terms: Terms) -> list[Quote]:
        """What rests in one market."""
        return [_quote(each, terms) for each in self._open(symbol=terms.symbol)]

    def quote(self, terms: Terms, quotes: Iterable[Quote]) -> int:
        """Place them; how many were accepted."""
        orders = [
            self._order(terms, quote.side, quote.lots)
            | {"order_type": "LIMIT", "price": f"{terms.price(quote.ticks):f}", "post_only": True}
            for quote in quotes
        ]
        items = self._ask("POST", "/orders/batch", json={"orders": orders}).json()["items"]
        return _accepted([each["status"] for each in items])

    def take(self, terms: Terms, take: Take) -> int:
        """Trade at once; 1 if it was accepted."""
        order = self._order(terms, take.side, take.lots) | {"time_in_force": "IOC", "order_type": "MARKET"}
        if take.ticks is not None:
            order |= {"order_type": "LIMIT", "price": f"{terms.price(take.ticks):f}"}
        return _accepted([self._ask("POST", "/orders", json=order).status_code])

    def cancel(self, quote: Quote) -> None:
        """It may have been filled meanwhile."""
        self._ask("DELETE", f"/orders/{quote.order_id}")

    def cancel_all(self) -> bool:
        """Whether nothing is open then; a cancel that was answered 202 comes a little later."""
        self._ask("DELETE", "/orders")
        return not self._open()

    def _open(self, **query: str) -> list[dict[str, Any]]:
        answer = self._ask("GET", "/orders", params={"status": OPEN, "limit": MOST, **query})
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    def _order(self, terms: Terms, side: str, lots: int) -> dict[str, Any]:
        return {
            "client_order_id": next(self._names),
            "symbol": terms.symbol,
            "side": side,
            "quantity": f"{terms.quantity(lots):f}",
        }

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        self._token = self._token or self._sign_in()
        answer = self._send(method, path, **more)
        if answer.status_code == codes.UNAUTHORIZED:  # the token has expired
            self._token = self._sign_in()
            answer = self._send(method, path, **more)
        if not answer.is_success and answer.status_code not in REFUSALS:
            raise Unexpected(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._http.request(method, path, headers={"Authorization": f"Bearer {self._token}"}, **more)

    def _sign_in(self) -> str:
        answer = self._http.post("/auth/token", json={"email": self.email, "password": self._password})
        if not answer.is_success:
            raise Unexpected(f"{self.email} cannot sign in: {answer.status_code} {answer.text[:200]}")
        return str(answer.json()["access"])


def _accepted(statuses: Sequence[int]) -> int:
    """How many succeeded."""
    wrong = [status for status in statuses if not codes.is_success(status) and status not in REFUSALS]
    if wrong:
        raise Unexpected(f"orders were answered {wrong}")
    return sum(codes.is_success(status) for status in statuses)


def _quote(order: dict[str, Any], terms: Terms) -> Quote:
    ticks, lots = (
        int(Decimal(order[name]) / step)
        for name, step in (("price", terms.tick), ("remaining_quantity", terms.lot))
    )
    return Quote(order["side"], ticks, lots, order["order_id"])
