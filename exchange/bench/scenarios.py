"""The loads over REST: what each sends, and what it must reach on two cores with the load on them too."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from exchange.bench import database, gate, usage
from exchange.bench.database import Mark, Window
from exchange.bench.driver import Outcome, drive
from exchange.bench.installation import Place
from exchange.bench.load import Plan
from exchange.bench.orders import Requests
from exchange.bench.result import Cpu, Result, Target, at_least, below, nothing
from exchange.bench.usage import Pids
from exchange.embedded.home import SetupError

BATCH = 50
RESTING_BATCH = 100
WARM_UP = 2.0  # seconds before the measured window
SEED_ORDERS = 600  # in each market
SEED_LEVELS = 200  # a side

Targets = Callable[[Result], list[Target]]


@dataclass(frozen=True)
class Scenario:
    """`batch`: 0 for single orders. `reads`: GETs of the order book instead of orders. `limited`: with the
    ceilings of `exchange.bench.gate`."""

    what: str
    connections: int
    targets: Targets
    batch: int = 0
    reads: bool = False
    limited: bool = False


SCENARIOS = {
    "alone": Scenario("one order at a time", 1, lambda r: [below("p50 ms", 8, r.latency("p50"))]),
    "single": Scenario(
        "one order a request, half of them crossing",
        16,
        lambda r: [
            at_least("orders/s", 700, r.orders_per_second),
            below("p50 ms", 25, r.latency("p50")),
            below("p99 ms", 100, r.latency("p99")),
        ],
    ),
    "gate": Scenario(
        "the same with every limit of the pre-trade gate set",
        16,
        lambda r: [below("gate p99 ms", 5, r.figures["gate p99 ms"])],
        limited=True,
    ),
    "orderbook": Scenario(
        "GET orderbook", 16, lambda r: [at_least("requests/s", 1000, r.requests_per_second)], reads=True
    ),
    "batch": Scenario(
        f"batches of {BATCH}, half of the orders crossing",
        16,
        lambda r: [at_least("orders/s", 6000, r.orders_per_second)],
        batch=BATCH,
    ),
    "batch32": Scenario("the same on twice as many connections", 32, lambda r: [], batch=BATCH),
}


@dataclass
class Bench:
    """What a run has in hand. `seconds` are those of a measured window."""

    place: Place
    requests: Requests
    symbols: list[str]
    seconds: float

    def plan(
        self,
        lanes: Sequence[list[str]],
        *,
        batch: int = 0,
        reads: bool = False,
        requests: int = 0,
        rate: float = 0.0,
    ) -> Plan:
        fields = (
            ["symbol", "bids", "asks"]
            if reads
            else ["items"]
            if batch
            else ["order_id", "status", "filled_quantity"]
        )
        return Plan(
            host=self.place.host,
            port=self.place.port,
            lanes=list(lanes),
            status=200 if reads or batch else 201,
            mark='"status":201' if batch else "",
            marks=batch,
            fields=fields,
            warm_up=0.0 if requests else min(WARM_UP, self.seconds),
            seconds=self.seconds,
            requests=requests,
            rate=rate,
        )


class Watch:
    """Takes marks and processor times at the ends of a window; `more` are processes beside the place's."""

    def __init__(self, place: Place, more: Pids | None = None) -> None:
        self._place = place
        self._pids = {**place.pids(), **(more or {})}
        self._marks: list[Mark] = []
        self._times: list[tuple[dict[str, float], float]] = []

    def event(self, name: str) -> None:
        self._times.append((usage.cpu_seconds(self._pids), usage.machine_seconds()))
        self._marks.append(Mark.now(self._place.connection))

    @property
    def window(self) -> Window:
        begin, end = self._marks
        return Window(begin, end)

    def cpu(self, load: float, thousands: float) -> Cpu | None:
        """`load` are the load's own seconds. None for an installation that is not ours."""
        if not self._pids:
            return None
        (before, machine_before), (after, machine_after) = self._times
        seconds = {name: round(after[name] - before[name], 3) for name in after} | {"load": round(load, 3)}
        per_1000 = {name: round(value / thousands, 4) for name, value in seconds.items()} if thousands else {}
        return Cpu(seconds, per_1000, round(machine_after - machine_before - sum(seconds.values()), 3))


def rest(bench: Bench, name: str, count: int, *, lanes: int, markets: int, levels: int) -> Outcome:
    """Place about `count` orders that rest away from the middle at `levels` prices a side. Raises
    SetupError."""
    texts = bench.requests.resting(name, lanes, markets, RESTING_BATCH, levels)
    outcome = drive(bench.plan(texts, batch=RESTING_BATCH, requests=math.ceil(count / RESTING_BATCH)))
    if outcome.errors:
        raise SetupError(f"orders could not be placed: {outcome.errors} {' '.join(outcome.samples[:1])}")
    return outcome


def seed(bench: Bench) -> None:
    """Books that are not empty. Raises SetupError."""
    markets = len(bench.symbols)
    rest(bench, "seed", SEED_ORDERS * markets, lanes=2 * markets, markets=markets, levels=SEED_LEVELS)


def run(bench: Bench, name: str) -> tuple[Result, Window]:
    """One scenario. Raises SetupError."""
    scenario = SCENARIOS[name]
    lanes = (
        bench.requests.book(scenario.connections)
        if scenario.reads
        else bench.requests.trading(name, scenario.connections, scenario.batch)
    )
    watch = Watch(bench.place)
    gate_watch = gate.GateWatch(bench.place) if scenario.limited else None
    with gate.limited(bench.place) if scenario.limited else nullcontext():

        def event(what: str) -> None:
            watch.event(what)
            if gate_watch is not None:
                gate_watch.event(what)

        outcome = drive(bench.plan(lanes, batch=scenario.batch, reads=scenario.reads), event)
    result = Result(
        name=name,
        what=scenario.what,
        seconds=outcome.seconds,
        connections=scenario.connections,
        requests_per_second=outcome.requests_per_second,
        latency_ms=outcome.latency_ms,
        errors=outcome.errors,
        samples=outcome.samples,
        cpu=watch.cpu(outcome.cpu_seconds, outcome.requests * (scenario.batch or 1) / 1000),
        targets=[nothing("errors", sum(outcome.errors.values()))],
    )
    if not scenario.reads:
        _add_orders(bench, result, outcome, scenario.batch or 1, watch.window)
    result.figures |= gate_watch.figures() if gate_watch is not None else {}
    result.targets += scenario.targets(result)
    return result, watch.window


def _add_orders(bench: Bench, result: Result, outcome: Outcome, orders: int, window: Window) -> None:
    connection = bench.place.connection
    result.orders_per_second = orders * outcome.requests_per_second
    result.fills_per_second = database.fills(connection, window) / outcome.seconds
    for figure, (transactions, count) in {
        "orders_per_intake": database.intakes(connection, window),
        "commands_per_settlement": database.settlements(connection, window),
    }.items():
        result.figures[figure] = count / transactions if transactions else 0.0
    missing = orders * outcome.right - database.stored(connection, bench.requests.prefix(result.name))
    result.targets.append(nothing("acknowledged orders missing in PostgreSQL", max(0, missing)))
