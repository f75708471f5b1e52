"""A whole exchange in processes of its own, and traders who use it over HTTP as any program would."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from decimal import Decimal
from typing import Any

import httpx

from exchange.embedded.stack import PROJECT, Stack

PASSWORD = "correct-horse-battery"
FRESH = httpx.Limits(keepalive_expiry=1.0)  # an older connection may be one to a process of before
FUNDS = {"BTC": "10", "ETH": "100", "USDT": "1000000"}
_numbers = itertools.count(1)


class Trader:
    """One signed-in member. Every order gets a `client_order_id` of its own unless one is given."""

    def __init__(self, url: str, email: str, token: str) -> None:
        self.email = email
        self.token = token
        self.http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30, limits=FRESH
        )

    def get(self, path: str, **parameters: Any) -> Any:
        """The answer's body; the request must succeed."""
        answer = self.http.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def place(self, side: str, quantity: str, price: str | None = None, **more: Any) -> httpx.Response:
        """On BTC/USDT: LIMIT, or MARKET where there is no price. `more` adds or replaces fields."""
        body = {
            "symbol": "BTC/USDT",
            "side": side,
            "order_type": "MARKET" if price is None else "LIMIT",
            "quantity": quantity,
            "client_order_id": f"story-{next(_numbers)}",
        }
        return self.http.post("/orders", json=body | ({} if price is None else {"price": price}) | more)

    def buy(self, quantity: str, price: str | None = None, **more: Any) -> Any:
        """The accepted order."""
        return accepted(self.place("BUY", quantity, price, **more))

    def sell(self, quantity: str, price: str | None = None, **more: Any) -> Any:
        return accepted(self.place("SELL", quantity, price, **more))

    def balance(self, asset: str) -> tuple[Decimal, Decimal]:
        """Available and held."""
        (found,) = [each for each in self.get("/balances")["items"] if each["asset"] == asset]
        assert Decimal(found["total"]) == Decimal(found["available"]) + Decimal(found["held"])
        return Decimal(found["available"]), Decimal(found["held"])


def accepted(answer: httpx.Response) -> Any:
    assert answer.status_code == 201, answer.text
    return answer.json()


def problem(answer: httpx.Response, status: int, code: str) -> Any:
    """The problem that `answer` must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:problem:{code}")
    assert body["trace_id"] == answer.headers["x-request-id"]
    return body


class Live:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.host = f"http://127.0.0.1:{stack.env['EXCHANGE_HTTP_PORT']}"
        self.url = f"{self.host}/api/v1"
        self.public = httpx.Client(base_url=self.url, timeout=30, limits=FRESH)

    def manage(self, *arguments: str) -> str:
        """What a management command prints."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT,
            env={**os.environ, **self.stack.env},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def set_status(self, symbol: str, status: str) -> None:
        """Restrict a market or let it trade, past the second person that the latter takes."""
        lines = [
            "from django.db import transaction",
            "from matching.core.types import MarketStatus",
            "from trading.markets import status_control",
            "with transaction.atomic():",
            f"    requests = status_control.set_status({symbol!r}, MarketStatus.{status}, reason='a test', by='test')",
            "assert not status_control.wait(requests)",
        ]
        self.manage("shell", "--no-imports", "-c", "\n".join(lines))

    def hire(self, name: str, count: int, *, order_rate: int) -> list[Trader]:
        """New traders with `FUNDS`."""
        funds = [word for asset, amount in FUNDS.items() for word in ("--fund", f"{asset}={amount}")]
        made = self.manage(
            "create_trader",
            f"{name}{{:03d}}@demo.exchange",
            *("--count", str(count), "--institution", "demo", "--password", PASSWORD),
            *("--order-rate", str(order_rate), "--json"),
            *funds,
        )
        return [Trader(self.url, each["email"], each["token"]) for each in json.loads(made)]

    def sign_in(self, email: str, password: str) -> Trader:
        answer = self.public.post("/auth/token", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        return Trader(self.url, email, answer.json()["access"])
