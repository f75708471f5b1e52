"""Rounds of load, fault, pause and checks.

load ── fault at a random moment ── orders go through again ── pause ── all sent, seen, handled ── checks
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from exchange.embedded.stack import PROJECT, Stack, free_ports
from tests.simulation.events.checks import Checks
from tests.simulation.events.recorder import Recorder
from tests.simulation.faults.client import Client
from tests.simulation.faults.playground import FUNDS, GROUPS
from tests.simulation.faults.tally import Switch, Tally
from tests.simulation.faults.trader import PATIENCE, Trader

PROCESSES = ("relay", "consumers", "kafka", "postgres", "valkey")
FAULTS = tuple(f"{what} {name}" for name in PROCESSES for what in ("kill", "stop"))
TRADERS = 6
PASSWORD = "fault-trial-pass"
BEFORE, AFTER = (0.3, 2.0), (0.3, 1.0)  # seconds of load before the fault, and after orders go through again
STOPPED = (1.0, 8.0)  # seconds: shorter and longer than a consumer may be silent
GAP_SECONDS = 90.0
STARTED_SECONDS = 30.0
MARGIN = timedelta(seconds=2)
HANDLERS = """
import json
from exchange.operations.event_dispatch import HANDLERS
print(json.dumps({group: list(events) for group, events in HANDLERS.items()}))"""


@dataclass
class Round:
    """`rest`: seconds after the load until all was sent, seen and handled."""

    number: int
    fault: str
    seconds: float = 0.0
    rest: float = 0.0
    events: int = 0
    seen: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass
class Report:
    seed: int
    seconds: float = 0.0
    events: int = 0
    rounds: list[Round] = field(default_factory=list)
    home: str = ""

    @property
    def clean(self) -> bool:
        return not any(each.problems for each in self.rounds)


def plan(rounds: int, chance: random.Random) -> list[str]:
    """Every fault as often as the others, in random order each time."""
    names: list[str] = []
    while len(names) < rounds:
        names += chance.sample(FAULTS, len(FAULTS))
    return names[:rounds]


class Trial:
    """In a private stack in `home`. `progress` gets a line for each step."""

    def __init__(self, home: Path, seed: int, progress: Callable[[str], None]) -> None:
        prices = {"EXCHANGE_PRICE_WS_URL": "", "EXCHANGE_PRICE_REST_URL": ""}
        self.stack = Stack(home, {**free_ports(), **prices, "EXCHANGE_DEMO": "true"}, self._note)
        self.report = Report(seed, home=str(home))
        self._chance = random.Random(seed)
        self._progress = progress
        self._tally = Tally()
        self._switch = Switch()
        self._traders: list[Trader] = []
        self._pause = threading.Event()
        self._rested = datetime.now(UTC)

    def run(self, faults: Sequence[str]) -> Report:
        """A round for each fault; ends every process that it started. Raises SetupError."""
        started = time.monotonic()
        with self.stack as stack:
            stack.prepare()
            stack.start_processes()
            recorder = Recorder(stack.env["KAFKA_BROKERS"])
            recorder.start()
            checks = Checks(stack.env["DATABASE_URL"], recorder, json.loads(self._python("-c", HANDLERS)))
            try:
                stack.wait_ready()
                self._start_traders()
                for number, fault in enumerate(faults, 1):
                    record = Round(number, fault)
                    self.report.rounds.append(record)
                    rested = self._round(record, recorder, checks)
                    self._tell(line(record, len(faults)))
                    if not rested:
                        break
            finally:
                self._switch.end()
                for trader in self._traders:
                    trader.join(PATIENCE)
                recorder.end()
        self.report.events = checks.events
        self.report.seconds = time.monotonic() - started
        return self.report

    def _round(self, record: Round, recorder: Recorder, checks: Checks) -> bool:
        """False if it did not come to rest."""
        started, events, seen = time.monotonic(), checks.events, checks.seen
        self._switch.resume()
        self._pause.wait(self._chance.uniform(*BEFORE))
        what, name = record.fault.split()
        self._note(f"{record.fault} …")
        self._strike(what, name)
        acknowledged = self._tally.wait_acked(time.monotonic(), GROUPS, GAP_SECONDS)
        if missing := GROUPS - acknowledged.keys():
            record.problems.append(f"no order of {sorted(missing)} was acknowledged in {GAP_SECONDS:g} s")
        self._pause.wait(self._chance.uniform(*AFTER))
        lost = record.fault == "kill kafka"
        if lost:  # with the load still on, as it would be
            recorder.lost()
            self._republish()
        if not self._switch.pause(PATIENCE + 15):
            record.problems.append("traders still wait for an answer")
        resting = time.monotonic()
        undone = checks.wait_rest()
        record.rest = time.monotonic() - resting
        record.problems += [f"not at rest: {undone}"] if undone else []
        record.problems += checks.problems(repeated=lost)
        record.problems += [each for trader in self._traders for each in trader.promises.take_problems()]
        record.events, record.seen = checks.events - events, checks.seen - seen
        record.seconds = time.monotonic() - started
        self._rested = datetime.now(UTC)
        return not undone

    def _strike(self, what: str, name: str) -> None:
        """Returns when the fault is over; what it killed may not be back yet, but is another process."""
        self._wait_started(name)
        pids = self.stack.pids(name)
        if what == "stop":
            self.stack.kill(name, signal.SIGSTOP)
            self._pause.wait(self._chance.uniform(*STOPPED))
            self.stack.kill(name, signal.SIGCONT)
            return
        self.stack.kill(name)
        deadline = time.monotonic() + STARTED_SECONDS
        while self.stack.pids(name)[:1] in ([], pids[:1]):
            assert time.monotonic() < deadline, f"{name} does not come back"
            self._pause.wait(0.02)

    def _wait_started(self, name: str) -> None:
        deadline = time.monotonic() + STARTED_SECONDS
        while not self.stack.pids(name):
            assert time.monotonic() < deadline, f"{name} does not run"
            self._pause.wait(0.02)

    def _republish(self) -> None:
        """What was published since all was well has to be sent again."""
        since = (self._rested - MARGIN).isoformat()
        self._note(self._manage("outbox", "--republish", "--since", since).strip())

    def _start_traders(self) -> None:
        funds = [f"--fund={fund}" for fund in FUNDS]
        who = [
            "fault{:02d}@demo.exchange",
            f"--count={TRADERS}",
            "--institution=demo",
            f"--password={PASSWORD}",
        ]
        self._manage("create_trader", *who, "--order-rate=1000", *funds)
        for number in range(1, TRADERS + 1):
            email = f"fault{number:02d}@demo.exchange"
            client = Client(int(self.stack.env["EXCHANGE_HTTP_PORT"]), email, PASSWORD)
            assert client.sign_in() == 200, f"{email} cannot sign in"
            trader = Trader(
                email.partition("@")[0], client, f"{self.report.seed} {email}", self._switch, self._tally
            )
            self._traders.append(trader)
            trader.start()

    def _manage(self, *arguments: str) -> str:
        return self._python("manage.py", *arguments)

    def _python(self, *arguments: str) -> str:
        """What a program of the stack prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env={**os.environ, **self.stack.env},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    def _tell(self, text: str) -> None:
        self._progress(text)
        self._note(text)

    def _note(self, text: str) -> None:
        with self.stack.home.log("trial").open("a") as log:
            log.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {text}\n")


def line(record: Round, rounds: int) -> str:
    again = record.seen - record.events
    told = f"{record.events:5} events, {again:4} of them again, at rest after {record.rest:4.1f} s"
    verdict = "ok" if not record.problems else f"{len(record.problems)} PROBLEMS: {record.problems[0]}"
    return f"round {record.number:2}/{rounds} {record.fault:15} {record.seconds:5.1f} s, {told}: {verdict}"
