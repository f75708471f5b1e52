"""A matcher with many resting orders: how big it is, and how long after kill -9 it goes on."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

from exchange.bench import scenarios, usage
from exchange.bench.driver import drive
from exchange.bench.result import Result, at_least, below, nothing
from exchange.bench.scenarios import Bench
from exchange.embedded.home import SetupError
from exchange.embedded.stack import MATCHER

LANES = 16
LEVELS = 5_000  # a side
PATIENCE = 120.0
RESIDENT_MB = 400.0
SECONDS = 10.0


def run(bench: Bench, count: int) -> Result:
    """`count` resting orders in the first market. Raises SetupError."""
    stack = bench.place.stack
    assert stack is not None, "only on an installation of our own"
    filled = scenarios.rest(bench, "recovery", count, lanes=LANES, markets=1, levels=LEVELS)
    name = MATCHER + _group(bench)
    before = usage.memory({name: stack.pids(name)})[name]

    log = stack.home.log(name)
    offset = log.stat().st_size
    killed_at = time.monotonic()
    stack.kill(name)
    took_over = _wait_for(log, offset, "took over")
    seconds = time.monotonic() - killed_at
    first = drive(bench.plan(bench.requests.trading("after", 1, 0), requests=1))
    first_seconds = time.monotonic() - killed_at
    after = usage.memory({name: stack.pids(name)})[name]

    resident = max(before.peak, after.peak)
    return Result(
        name="recovery",
        what=f"a matcher with {took_over['orders']:,} resting orders is killed and goes on",
        seconds=seconds,
        errors=first.errors,
        samples=first.samples,
        figures={
            "resting orders": float(took_over["orders"]),
            "seconds to place them": filled.seconds,
            "seconds from kill to books recovered": seconds,
            "of them reading PostgreSQL": float(took_over["seconds"]),
            "seconds from kill to the next order matched": first_seconds,
            "peak resident MB before": before.peak,
            "peak resident MB after": after.peak,
        },
        targets=[
            at_least("resting orders", count, took_over["orders"]),
            below("matcher resident MB", RESIDENT_MB, resident),
            below("seconds to recover", SECONDS, seconds),
            nothing("errors", sum(first.errors.values())),
        ],
    )


def _group(bench: Bench) -> str:
    row = bench.place.connection.execute(
        "SELECT group_id FROM trading_instrument WHERE symbol = %s", [bench.symbols[0]]
    ).fetchone()
    assert row and row[0], f"{bench.symbols[0]} has no matcher assigned"
    return str(row[0])


def _wait_for(log: Path, offset: int, event: str) -> dict[str, Any]:
    """The first line about `event` that the log gets after `offset`. Raises SetupError."""
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while time.monotonic() < deadline:
        with log.open("rb") as file:
            file.seek(offset)
            for line in file:
                if line.startswith(b"{") and line.endswith(b"\n") and event.encode() in line:
                    found: dict[str, Any] = json.loads(line)
                    if found["event"] == event:
                        return found
        pause.wait(0.02)
    raise SetupError(f"no {event!r} in {log} for {PATIENCE:g} s")
