"""What the bench finds out: figures, and whether each meets its target."""

from __future__ import annotations

import math

import msgspec

from exchange.bench.machine import Machine
from exchange.bench.usage import Memory


class Target(msgspec.Struct):
    figure: str
    wanted: str
    measured: float
    met: bool


def at_least(figure: str, least: float, measured: float) -> Target:
    return Target(figure, f"≥ {least:,.10g}", measured, measured >= least)


def below(figure: str, limit: float, measured: float) -> Target:
    return Target(figure, f"< {limit:,.10g}", measured, measured < limit)


def nothing(figure: str, measured: int) -> Target:
    return Target(figure, "0", measured, measured == 0)


class Cpu(msgspec.Struct):
    """Processor seconds in the window by process, `load` for what makes it; `elsewhere` is all else here,
    other guests of the host too.

    `per_1000` is the same for 1,000 orders (for 1,000 requests where there are none).
    """

    seconds: dict[str, float]
    per_1000: dict[str, float]
    elsewhere: float


class Result(msgspec.Struct, omit_defaults=True):
    """One scenario. Rates are of right answers in the window of `seconds`; `figures` are of some only."""

    name: str
    what: str
    seconds: float
    connections: int = 0
    requests_per_second: float = 0.0
    orders_per_second: float = 0.0
    fills_per_second: float = 0.0
    latency_ms: dict[str, float] = {}
    errors: dict[str, int] = {}
    samples: list[str] = []
    figures: dict[str, float] = {}
    cpu: Cpu | None = None
    targets: list[Target] = []

    def latency(self, point: str) -> float:
        """In milliseconds; infinite if nothing was answered."""
        return self.latency_ms.get(point, math.inf)


class Report(msgspec.Struct):
    """Of one run; `met` says whether every target was."""

    started: str
    machine: Machine
    postgres: dict[str, str]
    symbols: list[str]
    results: list[Result]
    memory: dict[str, Memory]
    targets: list[Target]
    met: bool
