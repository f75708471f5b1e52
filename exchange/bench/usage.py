"""Processor time and memory of the installation's processes, by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import psutil

MEGABYTE = 1_000_000

Pids = Mapping[str, list[int]]


class Memory(msgspec.Struct):
    """In MB: the peak and the present resident size of the largest process, and what all of them are
    `together`, with what they share counted once."""

    processes: int
    peak: float
    resident: float
    together: float


def cpu_seconds(pids: Pids) -> dict[str, float]:
    """User and system time so far, by name, with that of children that have ended."""
    return {name: sum(_cpu(pid) for pid in ids) for name, ids in pids.items()}


def machine_seconds() -> float:
    """What all processors of the machine have worked so far, for any process."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


def memory(pids: Pids) -> dict[str, Memory]:
    found = {}
    for name, ids in pids.items():
        rows = [row for row in map(_memory, ids) if row is not None]
        if rows:
            peaks, residents, shares = zip(*rows, strict=True)
            found[name] = Memory(len(rows), max(peaks), max(residents), sum(shares))
    return found


def _cpu(pid: int) -> float:
    try:
        return float(sum(psutil.Process(pid).cpu_times()[:4]))
    except psutil.NoSuchProcess:
        return 0.0


def _memory(pid: int) -> tuple[float, float, float] | None:
    """Peak, resident and proportional set size; None if the process has ended."""
    try:
        info = psutil.Process(pid).memory_full_info()
    except psutil.NoSuchProcess:
        return None
    resident = info.rss / MEGABYTE
    return _peak(pid) or resident, resident, getattr(info, "pss", info.rss) / MEGABYTE


def _peak(pid: int) -> float | None:
    """The greatest resident size so far; None where the system does not keep it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    kilobytes = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
    return kilobytes * 1024 / MEGABYTE or None
