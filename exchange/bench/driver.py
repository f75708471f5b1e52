"""Runs a load in a process of its own, and calls back at the ends of its measured window."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from exchange.bench.load import Plan
from exchange.embedded.home import SetupError
from exchange.embedded.supervisor import launched

LOAD = Path(__file__).with_name("load.py")


class Outcome(msgspec.Struct):
    """What the load saw: `Load.result` says what the fields are."""

    requests: int
    right: int
    seconds: float
    cpu_seconds: float
    latency_ms: dict[str, float]
    errors: dict[str, int]
    samples: list[str]

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0


def drive(plan: Plan, on_event: Callable[[str], None] = lambda event: None) -> Outcome:
    """Run `plan`; `on_event` gets "measuring" and "measured" when they happen. Raises SetupError."""
    command = launched([sys.executable, "-I", "-S", str(LOAD)])
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        try:
            with process.stdin as target:
                json.dump(plan._asdict(), target)
            for line in process.stdout:
                message: dict[str, Any] = json.loads(line)
                if "event" not in message:
                    return msgspec.convert(message, Outcome)
                on_event(message["event"])
        except BaseException as error:
            process.kill()
            if not isinstance(error, BrokenPipeError):  # then it ended early, and says on stderr why
                raise
        reason = (process.stderr.read().strip().splitlines() or ["no reason given"])[-1]
    raise SetupError(f"the load ended early: {reason}")
