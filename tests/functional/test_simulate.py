"""`manage.py simulate` on a running exchange: trades happen, and it leaves no order behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from exchange.embedded.stack import PROJECT
from exchange.operations.management.commands.simulate import EMAILS
from tests.functional.live import Live
from trading.management.commands.demo import PASSWORD

PATIENCE = 90.0


def nothing_open(live: Live) -> bool:
    orders = [
        order
        for email in EMAILS
        for order in live.sign_in(email, PASSWORD).get(
            "/orders", status="PENDING,OPEN,PARTIALLY_FILLED,PENDING_TRIGGER"
        )["items"]
    ]
    return not orders


def trades(live: Live, symbol: str) -> int:
    items = live.public.get("/trades", params={"symbol": symbol, "limit": 1}).json()["items"]
    return items[0]["number"] if items else 0


def test_it_trades_and_ends_with_nothing_open(live: Live) -> None:
    symbols = ["BTC/TRY", "BTC/USDT", "ETH/USDT"]
    before = sum(trades(live, symbol) for symbol in symbols)
    summary = json.loads(
        live.manage("simulate", "--seconds", "5", "--rate", "60", "--seed", "1", "--json").splitlines()[-1]
    )
    assert sorted(summary["symbols"]) == symbols
    assert summary["errors"] == 0, summary
    assert summary["clean"]
    assert 0 < summary["orders"] <= 60 * summary["seconds"] + 60
    assert summary["trades"] == sum(trades(live, symbol) for symbol in symbols) - before > 0
    assert nothing_open(live)


def test_sigterm_ends_it_cleanly(live: Live) -> None:
    process = subprocess.Popen(
        [sys.executable, "manage.py", "simulate", "--rate", "50"],
        cwd=PROJECT,
        env={**os.environ, **live.stack.env},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        assert "trading BTC/" in process.stderr.readline()
        assert "orders" in process.stderr.readline()  # after ten seconds of it
        assert not nothing_open(live)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert "0 errors" in process.stderr.read()
    assert nothing_open(live)


def test_it_refuses_outside_of_the_demo(live: Live) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "simulate"],
        cwd=PROJECT,
        env={**os.environ, **live.stack.env, "EXCHANGE_DEMO": "false"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "not in demo mode" in done.stderr
