"""A trader before the gate and with a dead-man switch, and bank IT at the kill switch: on the running exchange."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.functional.live import Live, Trader, problem
from tests.market import eventually


@pytest.fixture
def database(live: Live) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(live.stack.env["DATABASE_URL"], autocommit=True) as connection:
        yield connection


def status(trader: Trader, order: Any) -> str:
    return str(trader.get(f"/orders/{order['order_id']}")["status"])


def test_a_limit_that_an_operator_sets_holds_at_once_and_says_what_is_wrong(
    alice: Trader, database: psycopg.Connection[Any]
) -> None:
    resting = alice.buy("0.01", "20000")
    database.execute(
        "INSERT INTO risk_limit (user_id, symbol, currency, max_open_orders, updated_at)"
        " SELECT id, '', '', 1, now() FROM members_user WHERE email = %s",
        [alice.email],
    )
    eventually(lambda: alice.place("BUY", "0.01", "20000").status_code == 422)
    refused = problem(alice.place("BUY", "0.01", "20000"), 422, "max_open_orders")
    assert refused["order"]["reason"] == "MAX_OPEN_ORDERS"
    assert "cancel one first" in refused["detail"]
    alice.http.delete("/orders").raise_for_status()
    assert status(alice, resting) == "CANCELLED"
    alice.buy("0.01", "20000")


def test_the_kill_switch_takes_everything_of_a_user_off_the_market(
    live: Live, alice: Trader, bob: Trader
) -> None:
    mine, theirs = alice.buy("0.01", "20000"), bob.buy("0.01", "20000")
    thrown = json.loads(live.manage("block", "--user", alice.email, "--reason", "a drill", "--json"))
    assert (thrown["blocked"], thrown["changed"]) == (True, True)
    eventually(lambda: status(alice, mine) == "CANCELLED")
    problem(alice.place("BUY", "0.01", "20000"), 422, "user_blocked")
    assert status(bob, theirs) == "OPEN"
    live.manage("block", "--user", alice.email, "--lift", "--reason", "the drill is over")
    eventually(lambda: alice.place("BUY", "0.01", "20000").status_code == 201)


def test_a_program_that_falls_silent_has_its_orders_cancelled(alice: Trader) -> None:
    order = alice.buy("0.01", "20000")
    switch = alice.http.post("/orders/cancel-after", json={"timeout": 60})
    assert switch.status_code == 200
    assert switch.json()["current_time"] < switch.json()["trigger_time"]
    assert alice.http.post("/orders/cancel-after", json={"timeout": 0}).json()["trigger_time"] is None
    assert status(alice, order) == "OPEN"
    alice.http.post("/orders/cancel-after", json={"timeout": 1})
    eventually(lambda: status(alice, order) == "CANCELLED")


@pytest.mark.parametrize(
    "body", [{}, {"timeout": -1}, {"timeout": 86401}, {"timeout": "60"}, {"timeout": 1.5}]
)
def test_a_wrong_time_is_explained(someone: Trader, body: Any) -> None:
    answer = problem(someone.http.post("/orders/cancel-after", json=body), 400, "invalid_request")
    assert answer["errors"][0]["field"] == "timeout"
