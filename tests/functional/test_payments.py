"""Money in and out as a trader's program sees it, on a running exchange."""

from __future__ import annotations

from decimal import Decimal

from tests.functional.live import Trader, problem


def test_what_is_asked_for_is_held_and_comes_back(alice: Trader) -> None:
    before = alice.balance("USDT")[0]
    asked = {"asset": "USDT", "amount": "400", "client_reference": "rent", "destination": "TR33 0006 1005"}
    answer = alice.http.post("/withdrawals", json=asked)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert alice.balance("USDT") == (before - 400, Decimal(400))
    assert alice.http.post("/withdrawals", json=asked).json() == made
    problem(alice.http.post("/withdrawals", json=asked | {"amount": "401"}), 409, "client_reference_conflict")
    too_much = asked | {"amount": "601", "client_reference": "more"}
    problem(alice.http.post("/withdrawals", json=too_much), 422, "kyc_limit")
    path = f"/withdrawals/{made['withdrawal_id']}"
    assert alice.get(path)["status"] == "REQUESTED"
    assert alice.http.delete(path).json()["status"] == "CANCELLED"
    assert alice.balance("USDT") == (before, Decimal(0))


def test_orders_and_withdrawals_share_the_same_funds(alice: Trader) -> None:
    free = alice.balance("USDT")[0]
    alice.buy("1", str(int(free) - 10))
    asked = {"asset": "USDT", "amount": "11", "client_reference": "w1", "destination": "x"}
    problem(alice.http.post("/withdrawals", json=asked), 422, "insufficient_funds")
    answer = alice.http.post("/withdrawals", json=asked | {"amount": "10"})
    assert answer.status_code == 201, answer.text
    problem(alice.place("BUY", "1", "1"), 422, "insufficient_funds")


def test_a_deposit_waits_for_an_operator(alice: Trader) -> None:
    before = alice.balance("USDT")
    made = alice.http.post(
        "/deposits", json={"asset": "USDT", "amount": "50", "client_reference": "pay"}
    ).json()
    assert made["status"] == "REQUESTED"
    assert alice.get("/deposits?status=REQUESTED")["items"] == [made]
    assert alice.balance("USDT") == before


def test_the_level_says_what_is_allowed(alice: Trader) -> None:
    found = alice.get("/kyc")
    assert (found["level"], found["may_trade"], found["daily_withdrawal"]) == (1, True, "1000")
