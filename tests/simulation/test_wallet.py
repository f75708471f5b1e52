"""The short form of the wallet trials, and their arguments."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.simulation.faults.trial import Report
from tests.simulation.wallet.__main__ import main
from tests.simulation.wallet.trial import SINGLES, WalletTrial, is_fault, plan


@pytest.mark.long
@pytest.mark.timeout(900)
def test_nothing_is_held_twice_or_forgotten(tmp_path: Path) -> None:
    lines: list[str] = []
    report: Report = WalletTrial(tmp_path, 7, lines.append).run(["all", "wallet-late", "web + wallet"])
    problems = [*report.problems, *(problem for each in report.rounds for problem in each.problems)]
    assert problems == [], "\n".join(lines)
    assert report.totals["order 201"] > 0


def test_a_plan_has_every_fault_and_repeats_with_its_seed() -> None:
    faults = plan(30, random.Random(1))
    assert len(faults) == 30
    assert set(faults) >= set(SINGLES)
    assert all(is_fault(fault) for fault in faults)
    assert faults == plan(30, random.Random(1)) != plan(30, random.Random(2))


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--only", "wallet + nothing"], ["more"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
