"""Stops: half a million of them armed in fifty markets, and prices that let a few go at a time.

Latency is from the moment a price is published to the moment its trigger command is in the matcher's stream.
The stops are placed over REST and are of both kinds and sides; no order trades with them, so prices move by our
ticks alone.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable

import redis

from exchange.base import redis_keys
from exchange.bench import database, usage
from exchange.bench.driver import drive
from exchange.bench.installation import Place
from exchange.bench.result import Result, below, nothing
from exchange.bench.scenarios import RESTING_BATCH, Bench, Watch
from exchange.bench.ticks import Ticker, Triggers
from exchange.embedded.home import SetupError
from exchange.embedded.stack import METRICS_OFFSETS, PROJECT

NAME = "stops"
MARKETS = 50
TICKED = [f"S{number:02d}/USDT" for number in range(1, MARKETS + 1)]
FEWEST, MOST = (
    "S98/USDT",
    "S99/USDT",
)  # markets that only show what a tick costs: a batch of stops, and ten times as
# many stops as the others have
SYMBOLS = [*TICKED, FEWEST, MOST]
LANES = 8
TICKS_PER_SECOND = 20.0
QUIET_ROUNDS, QUIET_TICKS = 10, 30
TRADERS = 8
P50_MS, P99_MS = 100.0, 200.0
COST_RATIO = 2.0
PATIENCE = 120.0
TAKEN = '"status":20'  # 202 too: a matcher that is late comes to it, and we wait for that
METRIC = "exchange_stops_check_seconds"


def run(bench: Bench, each: int, progress: Callable[[str], None]) -> Result:
    """`each` stops in each market, on an installation of our own with the markets of `bench`. Raises
    SetupError."""
    place = bench.place
    assert place.stack is not None, "only on an installation of our own"
    url = place.stack.env["REDIS_URL"]
    placed, seconds = _place_stops(bench, each, progress)
    ids = dict(place.connection.execute("SELECT id, symbol FROM trading_instrument").fetchall())
    ticker, triggers = Ticker(url, bench.requests.markets), Triggers(url, place.stack.groups, ids)
    with triggers.watched(), redis.Redis.from_url(url) as client:
        _wait_listed(client, placed)
        sizes = {RESTING_BATCH * count: symbol for symbol, count in _batches(each).items()}
        progress("what a tick costs that lets nothing go")
        costs = _costs_ms(place, ticker, sizes)
        progress(f"{TICKS_PER_SECOND:g} ticks a second for {bench.seconds:g} s")
        watch, began = Watch(place), time.process_time()
        watch.event("measuring")
        first = _tick(ticker, bench.seconds)
        _wait(lambda: not _unanswered(place, ticker), "the last triggers")
        watch.event("measured")
        cpu = watch.cpu(time.process_time() - began, len(first) / 1000)
        progress("the same while all stops are read from PostgreSQL again")
        client.delete(redis_keys.STOPS_BUILT)
        second = _tick(ticker, bench.seconds)
        _wait(lambda: not _unanswered(place, ticker), "the last triggers")
        progress("Redis is emptied")
        rebuilt = _rebuild_seconds(client, placed)
    ticker.close()
    progress("verify")
    breaches = _verify(place)
    latencies, under_rebuild = triggers.latencies_ms(first), triggers.latencies_ms(second)
    memory = usage.memory({NAME: place.stack.pids(NAME)})[NAME]
    result = Result(
        name=NAME,
        what=f"{TICKS_PER_SECOND:g} price ticks a second (each a request here) on {MARKETS} markets with {each:,} "
        "stops each, until their triggers are in the stream",
        seconds=bench.seconds,
        requests_per_second=len(first) / bench.seconds,
        latency_ms=_points(latencies),
        figures={
            "stops armed": float(placed),
            "seconds to place them": seconds,
            "triggers": float(len(latencies)),
            "ticks that a later one overtook": float(len(first) - len(triggers.ticks() & first.keys())),
            **{f"ms to check a tick, {size:,} armed, none let go": cost for size, cost in costs.items()},
            **{f"{name} ms while all are read anew": ms for name, ms in _points(under_rebuild).items()},
            "seconds until all are listed again in an emptied Redis": rebuilt,
            "resident MB of the process": memory.resident,
        },
        cpu=cpu,
    )
    result.targets = [
        below("p50 ms", P50_MS, result.latency("p50")),
        below("p99 ms", P99_MS, result.latency("p99")),
        below(
            f"time of a check, {max(costs):,} ÷ {min(costs):,} armed",
            COST_RATIO,
            costs[max(costs)] / costs[min(costs)],
        ),
        nothing("stops reached and not triggered", _unanswered(place, ticker)),
        nothing("triggers not of our ticks", len(triggers.seen) - len(latencies) - len(under_rebuild)),
        nothing("triggered without a command in the stream", _silent(place, triggers)),
        nothing("breaches found by verify", breaches),
    ]
    return result


def _batches(each: int) -> dict[str, int]:
    """How many batches of stops each market gets."""
    usual = max(1, each // RESTING_BATCH)
    return {**dict.fromkeys(reversed(TICKED), usual), FEWEST: 1, MOST: 10 * usual}


def _place_stops(bench: Bench, each: int, progress: Callable[[str], None]) -> tuple[int, float]:
    """How many, and the seconds it took."""
    started, placed = time.monotonic(), 0
    batches = _batches(each)
    for number, market in enumerate(bench.requests.markets):
        count = batches[market.symbol]
        lanes = bench.requests.stops(f"{NAME}-{number}", LANES, number, RESTING_BATCH, count)
        plan = bench.plan(lanes, batch=RESTING_BATCH, requests=count)
        outcome = drive(plan._replace(mark=TAKEN))
        if outcome.errors:
            raise SetupError(f"stops could not be placed: {outcome.errors} {' '.join(outcome.samples[:1])}")
        placed += count * RESTING_BATCH
        if (number + 1) % 10 == 0:
            progress(f"{placed:,} stops placed in {number + 1} markets")
    seconds = time.monotonic() - started
    stored = database.stored(bench.place.connection, bench.requests.prefix(NAME)[:-1])
    assert stored == placed, f"{stored} of {placed}"
    return placed, seconds


def _tick(ticker: Ticker, seconds: float) -> dict[tuple[str, int], float]:
    """Let a few stops go in a market and a direction by chance, at a steady pace; the ticks that were sent."""
    chance, pause, before = random.Random(seconds), threading.Event(), set(ticker.sent)  # noqa: S311
    begin = time.perf_counter()
    for number in range(max(1, int(seconds * TICKS_PER_SECOND))):
        pause.wait(max(0.0, begin + number / TICKS_PER_SECOND - time.perf_counter()))
        ticker.tick(chance.choice(TICKED), upward=chance.random() < 0.5)
    return {tick: moment for tick, moment in ticker.sent.items() if tick not in before}


def _costs_ms(place: Place, ticker: Ticker, sizes: dict[int, str]) -> dict[int, float]:
    """The time of a check by how many stops are armed, as the process itself measures it: the lowest mean of
    some rounds, so that what else the machine does counts least."""
    means: dict[int, list[float]] = {size: [] for size in sorted(sizes)}
    pause = threading.Event()
    for _ in range(QUIET_ROUNDS):
        for size, found in means.items():
            seconds, count = _measured(place)
            for number in range(QUIET_TICKS):
                ticker.quiet(sizes[size], number)
                pause.wait(0.5 / TICKS_PER_SECOND)
            seconds_after, count_after = _measured(place)
            found.append(1000 * (seconds_after - seconds) / max(1, count_after - count))
    return {size: min(found) for size, found in means.items()}


def _measured(place: Place) -> tuple[float, int]:
    """Seconds of all checks so far, and how many there were."""
    port = int(place.environment["EXCHANGE_METRICS_PORT"]) + METRICS_OFFSETS[NAME]
    with urllib.request.urlopen(f"http://{place.host}:{port}/metrics", timeout=10) as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[0] != "#")
    return float(lines[f"{METRIC}_sum"]), int(float(lines[f"{METRIC}_count"]))


def _rebuild_seconds(client: redis.Redis, placed: int) -> float:
    client.flushall()
    started = time.monotonic()
    _wait(lambda: client.scard(redis_keys.STOPS_BUILT) >= len(SYMBOLS), "the stops to be read again")
    assert _listed(client) <= placed
    return time.monotonic() - started


def _wait_listed(client: redis.Redis, placed: int) -> None:
    _wait(lambda: _listed(client) == placed, "all stops to be listed")


def _listed(client: redis.Redis) -> int:
    return sum(client.zcard(redis_keys.stops(symbol, side)) for symbol in SYMBOLS for side in ("BUY", "SELL"))


def _unanswered(place: Place, ticker: Ticker) -> int:
    """Stops that still wait though a tick has reached them."""
    count = 0
    for symbol in TICKED:
        row = place.connection.execute(
            """SELECT count(*) FROM trading_order o JOIN trading_instrument i ON i.id = o.instrument_id
                WHERE i.symbol = %s AND o.closed_at IS NULL AND o.stop_price IS NOT NULL
                  AND o.status = 'PENDING_TRIGGER'
                  AND CASE o.side WHEN 'SELL' THEN o.stop_price >= %s * i.tick_size
                                  ELSE o.stop_price <= %s * i.tick_size END""",
            [symbol, *ticker.reached(symbol)],
        ).fetchone()
        assert row is not None
        count += row[0]
    return count


def _silent(place: Place, triggers: Triggers) -> int:
    rows = place.connection.execute("SELECT id::text FROM trading_order WHERE trigger_price IS NOT NULL")
    return sum(order not in triggers.seen for (order,) in rows)


def _verify(place: Place) -> int:
    done = subprocess.run(
        [sys.executable, "manage.py", "verify", "--json"],
        cwd=PROJECT,
        env=dict(place.environment),
        capture_output=True,
        text=True,
    )
    try:
        return sum(found["breaches"] for found in json.loads(done.stdout)["checks"])
    except (ValueError, KeyError) as error:
        raise SetupError(f"verify failed: {done.stderr.strip() or error}") from error


def _points(ordered: list[float]) -> dict[str, float]:
    points = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {
        name: round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
        for name, share in points.items()
        if ordered
    }


def _wait(condition: Callable[[], object], what: str) -> None:
    """Raises SetupError if it does not come."""
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise SetupError(f"waited {PATIENCE:g} s for {what} in vain")
        pause.wait(0.05)
