"""Rounds of load, fault, pause and checks, and what came of them.

load ── fault ── first orders acknowledged again ── pause ── nothing pending ── checks
            └────────────── gap ───────────────┘
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exchange.embedded.stack import PROJECT, Stack, free_ports
from tests.simulation.faults.checks import Checks
from tests.simulation.faults.client import Client
from tests.simulation.faults.injection import LASTING, Injector
from tests.simulation.faults.playground import FUNDS, GROUPS, PLAYGROUNDS
from tests.simulation.faults.tally import Switch, Tally
from tests.simulation.faults.trader import PATIENCE, Trader
from tests.simulation.faults.watcher import Watcher

TRADERS = 8
WATCHERS = 3
ORDER_RATE = 1000  # a second: the limit on it is not what we try here
PASSWORD = "fault-trial-pass"
BEFORE, AFTER = (0.3, 1.0), (0.2, 0.6)  # seconds of load before the fault and after orders go through again
GAP_SECONDS = 90.0  # even where the machine is busy with other things
VERIFY_EVERY = 10  # rounds


@dataclass
class Round:
    """`gap`: seconds from the fault (from its start if it lasts, else from its end) until every group has
    acknowledged an order sent after that; `during`: orders sent and acknowledged meanwhile.
    """

    number: int
    fault: str
    seconds: float = 0.0
    gap: float = 0.0
    during: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass
class Report:
    seed: int
    seconds: float = 0.0
    rounds: list[Round] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)
    verify: Any = None
    replay: Any = None
    problems: list[str] = field(default_factory=list)
    home: str = ""

    @property
    def clean(self) -> bool:
        return not self.problems and not any(each.problems for each in self.rounds)


class Trial:
    """Runs faults in a private stack in `home`. `progress` gets a line for each step."""

    gap_seconds = GAP_SECONDS

    def __init__(self, home: Path, seed: int, away_seconds: float, progress: Callable[[str], None]) -> None:
        self.stack = Stack(
            home, {**free_ports(), "EXCHANGE_DEMO": "true", "EXCHANGE_EVENTS": "off"}, self._note
        )
        self.report = Report(seed, home=str(home))
        self._chance = random.Random(seed)
        self._away_seconds = away_seconds
        self._progress = progress
        self._tally = Tally()
        self._switch = Switch()
        self._traders: list[Trader] = []
        self._watchers: list[Watcher] = []
        self._pause = threading.Event()

    def run(self, faults: Sequence[str]) -> Report:
        """A round for each fault; ends every process that it started. Raises SetupError."""
        started = time.monotonic()
        with self.stack as stack:
            stack.prepare()
            stack.start_processes()
            self._injector = Injector(stack, self._chance, self._away_seconds)
            self._checks = Checks(stack.env["DATABASE_URL"], {**os.environ, **stack.env})
            self._emails = self._create_traders()
            stack.wait_ready()
            self._sign_in()
            self._tell(f"ready after {time.monotonic() - started:.1f} s, in {stack.home.root}")
            try:
                self._rounds(faults)
                self._final_checks()
            finally:
                self._end_traders()
        self.report.totals = dict(sorted(self._tally.counts().items()))
        self.report.seconds = time.monotonic() - started
        return self.report

    def _rounds(self, faults: Sequence[str]) -> None:
        for number, fault in enumerate(faults, 1):
            record = Round(number, fault)
            self.report.rounds.append(record)
            quiet = self._round(record)
            self._tell(round_line(record, len(faults)))
            if not quiet:
                self.report.problems.append("it did not come to rest, so the trial ended early")
                return

    def _round(self, record: Round) -> bool:
        """False if the stack did not come to rest."""
        started, before = time.monotonic(), self._tally.counts()
        self._switch.resume()
        self._pause.wait(self._chance.uniform(*BEFORE))
        struck = time.monotonic()
        self._note(f"{record.fault} …")
        self._injector.strike(record.fault)
        over = time.monotonic()
        since = struck if record.fault in LASTING else over
        again = self._tally.wait_acked(since, GROUPS, self.gap_seconds)
        record.gap = max([*again.values(), since]) - since
        if missing := GROUPS - again.keys():
            record.problems.append(
                f"no order of {sorted(missing)} was acknowledged in {self.gap_seconds:g} s"
            )
        until = over if record.fault in LASTING else max(over, since + record.gap)
        during = self._tally.acks(struck, until)
        record.during = during.total()
        if record.fault in LASTING and during.keys() != GROUPS:
            record.problems.append(
                f"acknowledged during {over - struck:.0f} s of {record.fault}: {dict(during)}"
            )
        self._pause.wait(self._chance.uniform(*AFTER))
        idle = self._switch.pause(PATIENCE + 15)
        undone = "" if idle else "traders that still wait for an answer"
        undone = undone or self._checks.wait_quiet()
        record.problems += [undone] if undone else []
        record.counts = dict(self._tally.counts() - before)
        record.problems += self._broken() if idle else []
        if idle and not undone:
            url = self.stack.env["DATABASE_URL"]
            record.problems += [each for watcher in self._watchers for each in watcher.problems(url)]
        if record.number % VERIFY_EVERY == 0 and not undone:
            code, found = self._checks.verify()
            record.problems += [f"verify: {found}"] if code else []
        record.seconds = time.monotonic() - started
        return not undone

    def _broken(self) -> list[str]:
        promises = {email: trader.promises for email, trader in zip(self._emails, self._traders, strict=True)}
        found = list(self._checks.problems(promises))
        return [*found, *(problem for each in promises.values() for problem in each.take_problems())]

    def _final_checks(self) -> None:
        code, self.report.verify = self._checks.verify()
        self.report.problems += ["verify found a breach"] if code else []
        code, self.report.replay = self._checks.verify("--replay")
        self.report.problems += ["verify --replay found a breach"] if code else []

    def _create_traders(self) -> list[str]:
        """Their e-mail addresses."""
        options = [
            f"--count={TRADERS}",
            "--institution=demo",
            f"--password={PASSWORD}",
            f"--order-rate={ORDER_RATE}",
        ]
        options += [f"--fund={fund}" for fund in FUNDS]
        command = [sys.executable, "manage.py", "create_trader", "fault{:02d}@demo.exchange", *options]
        environment = {**os.environ, **self.stack.env}
        subprocess.run(command, cwd=PROJECT, env=environment, check=True, stdout=subprocess.DEVNULL)
        return [f"fault{number:02d}@demo.exchange" for number in range(1, TRADERS + 1)]

    def _sign_in(self) -> None:
        port = int(self.stack.env["EXCHANGE_HTTP_PORT"])
        for email in self._emails:
            client = Client(port, email, PASSWORD)
            status = client.sign_in()
            assert status == 200, f"sign-in of {email} answered {status}"
            seed = f"{self.report.seed} {email}"
            trader = Trader(email.partition("@")[0], client, seed, self._switch, self._tally)
            self._traders.append(trader)
            trader.start()
        stream_port = int(self.stack.env["EXCHANGE_WS_PORT"])
        for email in self._emails[:WATCHERS]:
            watcher = Watcher(stream_port, list(PLAYGROUNDS), email, Client(port, email, PASSWORD))
            self._watchers.append(watcher)
            watcher.start()

    def _end_traders(self) -> None:
        self._switch.end()
        for watcher in self._watchers:
            watcher.end()
            self._tally.count("feed connections", watcher.connections)
            self._tally.count("feed messages", watcher.messages)
        for trader in self._traders:
            trader.join(PATIENCE)

    def _tell(self, line: str) -> None:
        self._progress(line)
        self._note(line)

    def _note(self, line: str) -> None:
        """Into the trial's own log, beside those of the processes."""
        with self.stack.home.log("trial").open("a") as log:
            log.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {line}\n")


def round_line(record: Round, rounds: int) -> str:
    counts = Counter(record.counts)
    told = f"{counts['orders']:5} orders, gap {record.gap:4.1f} s, {record.during:3} acknowledged meanwhile"
    verdict = "ok" if not record.problems else f"{len(record.problems)} PROBLEMS: {record.problems[0]}"
    return f"round {record.number:2}/{rounds} {record.fault:28} {record.seconds:5.1f} s, {told}: {verdict}"
