"""Calls to the bank's wallet service: each has one deadline, and while the service is away no caller waits for it.

A call is repeated once within its deadline if the connection broke or the service said 5xx, under the same
Idempotency-Key; a time-out is not. After `FAILURES` in a row the circuit opens for `OPEN_SECONDS`: all are
refused at once, then one is let through to try. pybreaker calls under a lock, one at a time, so while the
circuit is closed calls go past it and only report to it how they went.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import structlog
from pybreaker import STATE_CLOSED, CircuitBreaker, CircuitBreakerError

from exchange.base import metrics
from exchange.base.env import env
from exchange.base.http.problems import Problem
from exchange.base.ids import uuid7

FAILURES = 5
OPEN_SECONDS = 2
TRIES = 2
MOST_ITEMS = 500  # in one call, as the contract has it
MOST_BYTES = 2_000_000

T = TypeVar("T")
log = structlog.get_logger(__name__)


class WalletUnavailable(Problem):
    """503. `asked`: the service may have got the request, and may have done what it says."""

    def __init__(self, *, asked: bool) -> None:
        detail = "The bank's wallet does not answer, so no funds could be reserved: try again."
        super().__init__(503, "wallet_unavailable", detail, headers={"Retry-After": str(OPEN_SECONDS)})
        self.asked = asked


class Failed(Exception):
    """One try came to nothing; `again`: a second one may do better."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.again = again


class Answer(msgspec.Struct):
    """To one item of a reserve or a release."""

    reservation_id: str
    status: str
    reason: str = ""


class Answers(msgspec.Struct):
    items: list[Answer]


class Held(msgspec.Struct):
    """What the service knows of a reservation."""

    reservation_id: str
    user: str
    asset: str
    amount: Decimal
    consumed: Decimal
    released: Decimal
    outstanding: Decimal
    state: str


class HeldPage(msgspec.Struct):
    items: list[Held]
    next: str | None = None


class Funds(msgspec.Struct):
    user: str
    asset: str
    available: Decimal
    reserved: Decimal


class FundsPage(msgspec.Struct):
    items: list[Funds]
    next: str | None = None


class WalletClient:
    """Safe across threads. Every call raises WalletUnavailable."""

    def __init__(self, url: str, token: str, timeout: float) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        limits = httpx.Limits(max_connections=None, keepalive_expiry=30.0)
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, limits=limits)
        self._timeout = timeout
        self._breaker = CircuitBreaker(FAILURES, OPEN_SECONDS, throw_new_error_on_trip=False, name="wallet")
        self._trial = threading.Lock()
        self._opened = 0.0

    def check(self) -> None:
        """Raises WalletUnavailable while the circuit is open and it is not time for a try."""
        if self._breaker.current_state != STATE_CLOSED:
            waited = time.monotonic() - self._opened
            if waited < OPEN_SECONDS or self._trial.locked():
                raise WalletUnavailable(asked=False)

    def reserve(self, items: Sequence[dict[str, str]]) -> dict[str, Answer]:
        """`items` are {reservation_id, user, asset, amount}; the answers by reservation, one to each."""
        return self._act("/v1/reserve-many", items)

    def release(self, items: Sequence[dict[str, str]]) -> dict[str, Answer]:
        """`items` are {reservation_id, amount}: what is left over and goes back, for good."""
        return self._act("/v1/release-many", items)

    def balances(self, user_id: str) -> list[Funds]:
        return self._get(f"/v1/users/{quote(user_id, safe='')}/balances", {}, FundsPage).items

    def all_balances(self) -> Iterable[Funds]:
        after: str | None = ""
        while after is not None:
            page = self._get("/v1/balances", {"after": after}, FundsPage)
            yield from page.items
            after = page.next

    def open_reservations(self) -> Iterable[Held]:
        after: str | None = ""
        while after is not None:
            page = self._get("/v1/reservations", {"after": after, "open": "true"}, HeldPage)
            yield from page.items
            after = page.next

    def reservations(self, names: Sequence[str]) -> list[Held]:
        """Those of `names` that the service knows."""
        found: list[Held] = []
        for at in range(0, len(names), 100):
            some = {"ids": ",".join(names[at : at + 100])}
            found += self._get("/v1/reservations", some, HeldPage).items
        return found

    def _act(self, path: str, items: Sequence[dict[str, str]]) -> dict[str, Answer]:
        """The key is of this call and its repetition: what is asked again later may have another answer by then,
        and each item takes effect once by its own id."""
        content = msgspec.json.encode({"items": items})
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid7()}
        answers = self._call("POST", path, Answers, content=content, headers=headers)
        found = {answer.reservation_id: answer for answer in answers.items}
        if found.keys() != {item["reservation_id"] for item in items}:
            log.error("wallet service answers for others than it was asked", path=path)
            raise WalletUnavailable(asked=True)
        return found

    def _get(self, path: str, params: dict[str, str], type: type[T]) -> T:
        return self._call("GET", path, type, params=params)

    def _call(self, method: str, path: str, type: type[T], **more: Any) -> T:
        """The answer. Whose balances are asked for is left out of what is counted and logged."""
        shown = path.partition("/users/")[0]
        try:
            answer = self._guarded(lambda: self._tried(method, path, type, more))
        except CircuitBreakerError:
            metrics.wallet_calls.labels(shown, "refused").inc()
            raise WalletUnavailable(asked=False) from None
        except Failed as failed:
            metrics.wallet_calls.labels(shown, "failed").inc()
            log.warning("wallet service failed", path=shown, reason=str(failed))
            raise WalletUnavailable(asked=True) from failed
        metrics.wallet_calls.labels(shown, "answered").inc()
        return answer

    def _guarded(self, ask: Callable[[], T]) -> T:
        if self._breaker.current_state == STATE_CLOSED:
            try:
                answer = ask()
            except Failed as failed:
                with suppress(Failed, CircuitBreakerError):
                    self._breaker.call(_raise, failed)
                self._opened = time.monotonic()
                raise
            with suppress(CircuitBreakerError):
                self._breaker.call(lambda: None)
            return answer
        if not self._trial.acquire(blocking=False):
            raise CircuitBreakerError("another thread is trying")
        try:
            return self._breaker.call(ask)
        except Failed:
            self._opened = time.monotonic()
            raise
        finally:
            self._trial.release()

    def _tried(self, method: str, path: str, type: type[T], more: dict[str, Any]) -> T:
        deadline = time.monotonic() + self._timeout
        for left in reversed(range(TRIES)):
            try:
                return self._once(method, path, type, more, deadline)
            except Failed as failed:
                if not (left and failed.again):
                    raise
        raise AssertionError("the last try returns or raises")

    def _once(self, method: str, path: str, type: type[T], more: dict[str, Any], deadline: float) -> T:
        patience = max(0.001, deadline - time.monotonic())
        try:
            with self._http.stream(method, path, timeout=patience, **more) as answer:
                body = _read(answer, deadline)
        except httpx.TimeoutException:
            raise Failed("no answer in time", again=False) from None
        except httpx.HTTPError as error:
            raise Failed(error.__class__.__name__, again=True) from error
        if answer.status_code != httpx.codes.OK:
            raise Failed(f"status {answer.status_code}", again=answer.status_code >= 500)
        try:
            return msgspec.json.decode(body, type=type)
        except msgspec.DecodeError as error:
            raise Failed(f"an answer that is not as agreed: {error}", again=False) from error


def _read(answer: httpx.Response, deadline: float) -> bytes:
    """The body, before `deadline` however slowly it comes."""
    body = b""
    for chunk in answer.iter_bytes():
        body += chunk
        if time.monotonic() > deadline:
            raise Failed("no whole answer in time", again=False)
        if len(body) > MOST_BYTES:
            raise Failed("an answer without end", again=False)
    return body


def _raise(error: Exception) -> None:
    raise error


@cache
def wallet() -> WalletClient:
    """This process's client, made at first use (after any fork)."""
    return WalletClient(env.wallet_url, env.wallet_token, env.wallet_timeout)
