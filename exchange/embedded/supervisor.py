"""Keeps one process running: starts it again when it ends, and ends it, with all it started, on request.

Our own and not supervisord: that one leaves its children behind when it is killed itself, gives up after a
number of restarts, does not wait for one program to be ready before the next, and can't leave root the way
PostgreSQL needs it (launch.py). A thread for each process waits for its end, so nothing is polled.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

LAUNCH = Path(__file__).with_name("launch.py")
FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0  # seconds before a restart; doubled each time
STEADY = 10.0  # a process that ran this many seconds starts again with the first delay
LARGEST_LOG = 20_000_000  # bytes; a larger log is set aside as NAME.log.1 when its process starts


@dataclass(frozen=True)
class Program:
    """What to run and how to end it."""

    name: str
    command: list[str]
    folder: Path
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL  # when we are killed, and no process is left to insist
    stop_seconds: float = 10.0  # then SIGKILL
    uid: int = 0  # to change to; 0 means: as who started us
    before: Callable[[], None] = lambda: None  # runs before each start


class Running(Protocol):
    """A process that was started."""

    pid: int

    def wait(self) -> bool:
        """Until it has ended. True if its number is its own until `reap`."""

    def reap(self) -> int:
        """Its exit code, as subprocess has it."""


class Supervisor:
    """Runs a `Program` until `stop`. `report` gets a line when it ends unasked; `start` raises OSError."""

    def __init__(
        self, program: Program, start: Callable[[Program], Running], report: Callable[[str], None]
    ) -> None:
        self.program = program
        self.restarts = 0
        self._start = start
        self._report = report
        self._pid: int | None = None  # set while the number is ours: until just before the process is reaped
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """The process's id, or None while it does not run."""
        return self._pid

    def start(self) -> None:
        assert self._thread is None, f"{self.program.name} is started already"
        self._stopping.clear()
        self._thread = threading.Thread(target=self._supervise, name=self.program.name, daemon=True)
        self._thread.start()

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal; nothing happens if it does not run."""
        with self._lock:
            if self._pid is not None:
                os.kill(self._pid, number)

    def ask_to_stop(self) -> None:
        """Begin to end it; `stop` waits for that."""
        self._stopping.set()
        self.signal(self.program.stop_signal)

    def stop(self) -> None:
        """End the process and wait for it, with SIGKILL after `stop_seconds`."""
        if self._thread is None:
            return
        if not self._stopping.is_set():
            self.ask_to_stop()
        self._thread.join(self.program.stop_seconds)
        if self._thread.is_alive():
            self._report(f"{self.program.name} did not end in {self.program.stop_seconds:g} s: killed")
            self.signal(signal.SIGKILL)
            self._thread.join()
        self._thread = None

    def _supervise(self) -> None:
        delay = FIRST_DELAY
        while not self._stopping.is_set():
            started = time.monotonic()
            ending = self._run()
            if self._stopping.is_set():
                return
            if time.monotonic() - started > STEADY:
                delay = FIRST_DELAY
            self.restarts += 1
            name, log = self.program.name, self.program.log
            self._report(f"{name} {ending}; starts again in {delay:.1f} s, see {log}")
            self._stopping.wait(delay)
            delay = min(delay * 2, LONGEST_DELAY)

    def _run(self) -> str:
        """Run it once; how it ended."""
        with self._lock:
            if self._stopping.is_set():
                return "was stopped"
            try:
                self.program.before()
                _set_aside(self.program.log)
                process = self._start(self.program)
            except OSError as error:
                return f"could not start ({error})"
            self._pid = process.pid
        held = process.wait()
        with self._lock:
            self._pid = None
        if held:  # what it leaves of its group goes before the number can be another's
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        code = process.reap()
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


class Spawned:
    """A program in a process of its own."""

    def __init__(self, program: Program, environment: Mapping[str, str]) -> None:
        with program.log.open("ab") as log:
            self._process = subprocess.Popen(
                launched(program.command, orphan_signal=program.orphan_signal, uid=program.uid),
                cwd=program.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def wait(self) -> bool:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        return True

    def reap(self) -> int:
        return self._process.wait()


def _set_aside(log: Path) -> None:
    if log.exists() and log.stat().st_size > LARGEST_LOG:
        log.replace(log.with_name(log.name + ".1"))


def launched(
    command: list[str], *, orphan_signal: signal.Signals = signal.SIGKILL, uid: int = 0
) -> list[str]:
    """The command line that runs `command` as a process which does not outlive this one."""
    python = [sys.executable, "-I", "-S", str(LAUNCH)]
    return [*python, str(os.getpid()), str(int(orphan_signal)), str(uid), *command]


def packaged(package: str, pattern: str) -> Path:
    """The program that a wheel brought, found without importing the package, which may have side effects"""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations, f"{package} is not installed"
    return next(Path(spec.submodule_search_locations[0]).glob(pattern))
