"""What the figures were measured on, with how long a write takes to be on disk: that bounds every commit."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import msgspec
import psutil
import psycopg

SYNCS = 100
PAGE = bytes(8192)
SETTINGS = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
)


class Machine(msgspec.Struct):
    """`sync_ms`: median time of writing 8 kB and having it on disk, where the installation's data is."""

    processor: str
    cores: int
    memory_gb: float
    system: str
    python: str
    file_system: str
    sync_ms: float


def describe(folder: Path) -> Machine:
    return Machine(
        processor=_processor(),
        cores=len(psutil.Process().cpu_affinity())
        if hasattr(psutil.Process, "cpu_affinity")
        else os.cpu_count() or 0,
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        file_system=_file_system(folder.resolve()),
        sync_ms=round(_sync_ms(folder), 3),
    )


def database(connection: psycopg.Connection) -> dict[str, str]:
    """PostgreSQL's version and the settings that decide what a commit is worth."""
    found = {"version": connection.execute("SHOW server_version").fetchone()}
    found |= {name: connection.execute(f"SHOW {name}").fetchone() for name in SETTINGS}
    return {name: str(row[0]) for name, row in found.items() if row}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _file_system(folder: Path) -> str:
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"


def _sync_ms(folder: Path) -> float:
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            started = time.perf_counter()
            os.pwrite(file.fileno(), PAGE, 0)
            os.fsync(file.fileno())
            times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)
