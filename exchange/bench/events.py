"""Events: from the outbox to who consumes them, under the loads of the main bench and with a backlog to drain.

A plain consumer of its own (`event_witness`) sees all topics: what it notes is the way to the bank's other systems. Our
own groups handle their events meanwhile, each exactly once in a transaction; how long after the event that was
committed they count themselves (`exchange_events_seconds`, so its percentiles are read from a histogram: the upper
bound of the bucket).
"""

from __future__ import annotations

import math
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import msgspec

from exchange.bench import event_witness, scenarios
from exchange.bench.database import Mark, Window
from exchange.bench.event_witness import Notes
from exchange.bench.installation import Place
from exchange.bench.result import Result, Target, at_least, below, nothing
from exchange.bench.scenarios import BATCH, Bench, Watch
from exchange.embedded.home import SetupError
from exchange.embedded.stack import CONSUMERS, METRICS_OFFSETS, PROJECT
from exchange.embedded.supervisor import launched

NAME = "events"
LOADS = {"single": 0, "batch": BATCH}  # orders in a request
CONNECTIONS = 16
EVENTS_PER_SECOND = 5000
P99_MS = 500.0
BACKLOG_SECONDS = 4.0  # of the batches' load, while the relay stands still
PATIENCE = 120.0  # seconds until all has arrived
DRIVEN = ("trade.events", "order.events", "orderbook.updates")  # topics that nothing but our orders writes to
QUIET_SECONDS = 1.0
HANDLED, SECONDS = "exchange_events_handled_total", "exchange_events_seconds"
TABLE = "events_outboxevent"


def run(bench: Bench, progress: Callable[[str], None]) -> Iterator[Result]:
    """On an installation of our own. Raises SetupError."""
    place = bench.place
    assert place.stack is not None, "only on an installation of our own"
    if not place.stack.events:
        raise SetupError("EXCHANGE_EVENTS is off: there are no events to measure")
    with _witness(place) as witness:
        for load in LOADS:
            _wait_quiet(place)
            progress(f"{NAME} under {load} orders ({bench.seconds:g} s)")
            yield _under_load(bench, witness, load)
        _wait_quiet(place)
        progress(f"{NAME} from a backlog")
        yield _drain(bench, witness)


class Witness:
    """The process that consumes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout
        self._input: IO[bytes] = process.stdin
        self._output: IO[bytes] = process.stdout
        self.pid = process.pid

    def request(self, word: str) -> bytes:
        self._input.write(word.encode() + b"\n")
        self._input.flush()
        return self.receive()

    def receive(self) -> bytes:
        """Its next line. Raises SetupError if it has ended."""
        line = self._output.readline()
        if not line:
            raise SetupError("the consumer of the bench ended early")
        return line

    def notes(self) -> Notes:
        return msgspec.json.decode(self.request("report"), type=Notes)


def _under_load(bench: Bench, witness: Witness, load: str) -> Result:
    """The order load of that name, and what becomes of its events."""
    place = bench.place
    batch = LOADS[load]
    watch = Watch(place, {"witness": [witness.pid]})
    groups: list[Groups] = []
    backlog: list[int] = []
    notes: list[Notes] = []

    def on_event(name: str) -> None:
        if name == "measuring":
            witness.request("begin")
        else:
            notes.append(witness.notes())
            backlog.append(_pending(place))
        groups.append(Groups.of(place))
        watch.event(name)

    lanes = bench.requests.trading(f"{NAME}-{load}", CONNECTIONS, batch)
    outcome = scenarios.drive(bench.plan(lanes, batch=batch), on_event)
    arrived, made = notes[0], _rows(place, watch.window)
    began = time.monotonic()
    _wait(place, lambda: _pending(place) == 0, "the last events to be sent")
    handled = groups[1] - groups[0]
    result = Result(
        name=f"{NAME}, {load}",
        what=f"events to a plain consumer under the load `{load}`; latency from an event's commit to its arrival",
        seconds=outcome.seconds,
        connections=CONNECTIONS,
        orders_per_second=(batch or 1) * outcome.requests_per_second,
        latency_ms=arrived.latency_ms,
        errors=outcome.errors,
        samples=outcome.samples,
        figures={
            "events written a second": made / outcome.seconds,
            "events consumed a second": arrived.events / outcome.seconds,
            "outbox rows not yet sent at the end of the load": float(backlog[0]),
            "seconds until they were": time.monotonic() - began,
            **{
                f"{group}, events handled a second": handled.count(group) / outcome.seconds
                for group in CONSUMERS
            },
            **{
                f"{group}, p99 ms until handled, at most": handled.p99_ms(group) for group in handled.groups()
            },
        },
        cpu=watch.cpu(outcome.cpu_seconds, (batch or 1) * outcome.requests / 1000),
    )
    result.targets = [
        below("p99 ms", P99_MS, result.latency("p99")),
        _at_most("p99 ms until analytics has handled it", P99_MS, handled.p99_ms("analytics")),
        nothing("errors", sum(outcome.errors.values())),
    ]
    return result


def _drain(bench: Bench, witness: Witness) -> Result:
    """A backlog that grew while the relay stood still, until the last of it is consumed and counted."""
    place = bench.place
    stack = place.stack
    assert stack is not None
    stack.kill("relay", signal.SIGSTOP)
    witness.request("begin")
    begin, before = Mark.now(place.connection), Groups.of(place)
    lanes = bench.requests.trading(f"{NAME}-backlog", CONNECTIONS, BATCH)
    scenarios.drive(bench.plan(lanes, batch=BATCH)._replace(warm_up=0.0, seconds=BACKLOG_SECONDS))
    window = Window(begin, Mark.now(place.connection))
    made = {topic: _rows(place, window, topic) for topic in DRIVEN}
    events, trades = sum(made.values()), made["trade.events"]
    watch = Watch(place, {"witness": [witness.pid]})
    watch.event("measuring")
    started = time.monotonic()
    stack.kill("relay", signal.SIGCONT)
    _wait(place, lambda: witness.notes().of(DRIVEN) >= events, "the backlog to arrive")
    arrived = time.monotonic() - started
    _wait(place, lambda: (Groups.of(place) - before).count("analytics") >= trades, "the trades to be counted")
    counted = time.monotonic() - started
    watch.event("measured")
    notes, (volume, traded) = witness.notes(), _volumes(place)
    result = Result(
        name=f"{NAME}, backlog",
        what=f"{events:,} events that piled up while the relay stood still",
        seconds=counted,
        figures={
            "seconds until all had arrived": arrived,
            "events sent and consumed a second": events / arrived,
            "seconds until analytics had handled its": counted,
            "events a second, outbox to handled": events / counted,
            "trades among them": float(trades),
            "events that came twice": float(notes.events - sum(notes.distinct.values())),
        },
        cpu=watch.cpu(0.0, events / 1000),
    )
    result.targets = [
        at_least("events/s from outbox to handled", EVENTS_PER_SECOND, events / counted),
        nothing(
            "events that never came",
            sum(max(0, made[topic] - notes.distinct.get(topic, 0)) for topic in DRIVEN),
        ),
        nothing("trades missing in the daily volumes, or counted twice", abs(volume - traded)),
    ]
    return result


class Groups:
    """What our consumers count: events handled, and how many within which bound of seconds, by group."""

    def __init__(self, handled: dict[str, float], within: dict[str, dict[float, float]]) -> None:
        self._handled = handled
        self._within = within

    @classmethod
    def of(cls, place: Place) -> Groups:
        port = int(place.environment["EXCHANGE_METRICS_PORT"]) + METRICS_OFFSETS["consumers"]
        with urllib.request.urlopen(f"http://{place.host}:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        handled = {group: float(count) for group, count in _found(rf'{HANDLED}{{group="(\w+)"}} (\S+)', text)}
        within: dict[str, dict[float, float]] = {}
        for group, bound, count in _found(rf'{SECONDS}_bucket{{group="(\w+)",le="(\S+)"}} (\S+)', text):
            within.setdefault(group, {})[float(bound)] = float(count)
        return cls(handled, within)

    def __sub__(self, other: Groups) -> Groups:
        handled = {group: count - other._handled.get(group, 0) for group, count in self._handled.items()}
        within = {
            group: {
                bound: count - other._within.get(group, {}).get(bound, 0) for bound, count in counts.items()
            }
            for group, counts in self._within.items()
        }
        return Groups(handled, within)

    def groups(self) -> list[str]:
        """Those that handled anything."""
        return [group for group, count in self._handled.items() if count]

    @property
    def total(self) -> float:
        return sum(self._handled.values())

    def count(self, group: str) -> int:
        return int(self._handled.get(group, 0))

    def p99_ms(self, group: str) -> float:
        counts = self._within.get(group, {})
        wanted = 0.99 * max(counts.values(), default=0)
        return 1000 * next((bound for bound in sorted(counts) if counts[bound] >= wanted), math.inf)


def _at_most(figure: str, most: float, measured: float) -> Target:
    return Target(figure, f"≤ {most:g}", measured, measured <= most)


def _found(pattern: str, text: str) -> list[tuple[str, ...]]:
    return re.findall(f"^{pattern}$", text, re.MULTILINE)


@contextmanager
def _witness(place: Place) -> Iterator[Witness]:
    """Ready for what comes from now on. What goes wrong it says on our stderr."""
    with subprocess.Popen(
        launched([sys.executable, "-m", event_witness.__name__]),
        cwd=PROJECT,
        env=dict(place.environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            witness = Witness(process)
            witness.receive()
            yield witness
        finally:
            process.kill()


def _wait_quiet(place: Place) -> None:
    """Until all that was written is sent, and all groups have handled what they were sent."""
    pause = threading.Event()

    def quiet() -> bool:
        before = Groups.of(place).total
        pause.wait(QUIET_SECONDS)
        return _pending(place) == 0 and Groups.of(place).total == before

    _wait(place, quiet, "what came before to be handled")


def _pending(place: Place) -> int:
    return _number(place, f"SELECT count(*) FROM {TABLE} WHERE published_at IS NULL")  # noqa: S608 - ours


def _rows(place: Place, window: Window, topic: str = "") -> int:
    return _number(
        place,
        f"SELECT count(*) FROM {TABLE} WHERE id >= %s AND id < %s AND (topic = %s OR %s = '')",  # noqa: S608
        *window.outbox,
        topic,
        topic,
    )


def _volumes(place: Place) -> tuple[int, int]:
    """Trades in the daily volumes of buyers and sellers, and as there are."""
    counted = _number(place, "SELECT coalesce(sum(trades), 0) FROM analytics_dailyvolume")
    return counted, 2 * _number(place, "SELECT count(*) FROM trading_trade")


def _number(place: Place, sql: str, *params: object) -> int:
    row = place.connection.execute(sql, params or None).fetchone()
    assert row is not None
    return int(row[0])


def _wait(place: Place, condition: Callable[[], object], what: str) -> None:
    """Raises SetupError if it does not come."""
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise SetupError(
                f"waited {PATIENCE:g} s for {what} in vain; {_pending(place)} events are not sent"
            )
        pause.wait(0.05)
