"""The audit log of a running exchange: what traders and operators do is in it, sealed within seconds, and sound."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from tests.functional.live import Live, Trader

PATIENCE = 20.0  # seconds


def records(live: Live, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(live.manage("audit", "--list", "--json", *options))
    return [{**each, "new": json.loads(each["new"])} for each in found]


def sealed(live: Live, *options: str) -> list[dict[str, Any]]:
    """Records that have their number by now, or soon."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        found = records(live, *options)
        if found and all(each["number"] for each in found):
            return found
    raise AssertionError(f"not sealed within {PATIENCE} s: {found}")


def test_an_order_and_its_cancel_are_in_the_log(live: Live, alice: Trader) -> None:
    trace = {"X-Request-ID": "audited-order-1", "User-Agent": "robot/7"}
    order = {"symbol": "BTC/USDT", "side": "BUY", "order_type": "LIMIT", "quantity": "0.01", "price": "100"}
    placed = alice.http.post("/orders", json={**order, "client_order_id": "audited-1"}, headers=trace)
    assert placed.status_code == 201, placed.text
    name = placed.json()["order_id"]
    assert alice.http.delete(f"/orders/{name}").status_code == 200
    cancel, place = sealed(live, "--resource", f"order/{name}")
    (request,) = [each for each in place["new"]["requests"] if each["trace_id"] == "audited-order-1"]
    assert (request["role"], request["address"], request["agent"]) == ("TRADER", "127.0.0.1", "robot/7")
    ((what, order_id, state, *_, quantity, price, _stop),) = request["commands"]
    assert (what, order_id, state, float(quantity), float(price)) == ("PLACE", name, "PENDING", 0.01, 100)
    commands = [command for each in cancel["new"]["requests"] for command in each["commands"]]
    assert ["CANCEL", name, "BTC/USDT", ""] in commands
    assert (
        place["action"] == cancel["action"] == "ORDERS"
        and place["institution"] == cancel["institution"] != ""
    )
    assert place["number"] < cancel["number"]


def test_what_was_refused_is_in_the_log_too(live: Live, alice: Trader) -> None:
    name = alice.buy("0.01", "100")["order_id"]
    assert alice.http.patch(f"/orders/{name}", json={"quantity": "0"}).status_code == 400
    assert alice.http.delete(f"/orders/{name}").status_code == 200
    assert alice.http.delete(f"/orders/{name}").json()["code"] == "order_not_open"
    assert alice.http.patch(f"/orders/{name}", json={"price": "101"}).json()["code"] == "order_not_open"
    records = sealed(live, "--resource", f"order/{name}")
    told = [
        line
        for record in reversed(records)
        for request in record["new"]["requests"]
        for line in request["commands"]
        if line[1] == name
    ]
    assert [(line[0], line[-1]) for line in told[1:]] == [
        ("CANCEL", ""),
        ("CANCEL", "ORDER_NOT_OPEN"),
        ("AMEND", "ORDER_NOT_OPEN"),
    ]
    assert [float(each) for each in told[-1][3:5]] == [0.01, 101]


def test_a_stop_that_goes_off_is_the_exchanges_doing(live: Live, alice: Trader, bob: Trader) -> None:
    """Nobody asked for it at that moment: the log says what did, in the chain of whose order it is."""
    stop = alice.buy("0.01", stop_price="105", order_type="STOP", time_in_force="IOC")
    bob.sell("0.02", "106")
    alice.buy("0.01", "106")
    placed = sealed(live, "--resource", f"order/{stop['order_id']}")[-1]
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        found = [
            each
            for each in sealed(live, "--resource", f"order/{stop['order_id']}")
            if each["actor"] == "system:stops"
        ]
        if found:
            break
    (went,) = found
    assert went["new"]["requests"][0]["commands"][0][:2] == ["TRIGGER", stop["order_id"]]
    assert went["institution"] == placed["institution"]


def test_the_running_log_is_sound(live: Live, someone: Trader) -> None:
    someone.get("/orders")
    try:
        told = json.loads(live.manage("audit", "--verify", "--json"))
    except subprocess.CalledProcessError as error:
        raise AssertionError(error.stdout) from error
    assert told["clean"] and told["chains"] >= 1 and told["records"] > 0
    starts = {each["resource"] for each in records(live, "--action", "command.start", "--limit", "200")}
    assert {"command/web", "command/audit", "command/celery_beat"} <= starts
    (head, *_) = live.manage("audit", "--heads").splitlines()
    assert json.loads(live.manage("audit", "--verify", "--json", "--anchor", head))["clean"]
