"""The measurement of the back office's lists, with few orders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from exchange.embedded.stack import PROJECT

COMMAND = [sys.executable, "-m", "tests.simulation.big_admin"]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_lists_of_many_orders_neither_count_nor_fail(tmp_path: Path) -> None:
    run = subprocess.run(
        [*COMMAND, "--orders", "50000", "--users", "2000", "--folder", str(tmp_path), "--json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    told = json.loads(run.stdout)
    assert (told["orders"], told["trades"]) == (50_000, 15_000)
    assert len(told["pages"]) > 20 and not any(page["fault"] for page in told["pages"])
    assert list(tmp_path.iterdir()) == []


def test_it_asks_for_room_first(tmp_path: Path) -> None:
    run = subprocess.run(
        [*COMMAND, "--orders", str(10**15), "--folder", str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "GiB" in run.stderr and list(tmp_path.iterdir()) == []
