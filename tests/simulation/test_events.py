"""The fault trials of the events' way: a few rounds of them, and their judgement on hand-made sequences."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.simulation.events.__main__ import main
from tests.simulation.events.checks import Row, out_of_order
from tests.simulation.events.recorder import Seen
from tests.simulation.events.trial import FAULTS, Trial, plan

ROWS = [
    Row(number, topic, key, f"e{number}", "X", order, True)
    for number, topic, key, order in (
        (1, "trade.events", "BTC/USDT", None),
        (2, "trade.events", "ETH/USDT", None),
        (3, "trade.events", "BTC/USDT", None),
        (4, "order.events", "ann", "order-1"),
        (5, "order.events", "ann", "order-2"),
        (6, "order.events", "ann", "order-1"),
    )
]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_no_fault_loses_doubles_or_reorders_anything(tmp_path: Path) -> None:
    report = Trial(tmp_path / "home", 1, lambda line: None).run(plan(len(FAULTS), random.Random(1)))
    assert [each.problems for each in report.rounds] == [[]] * len(FAULTS)
    assert report.events > 0


def seen(*numbers: int) -> list[Seen]:
    return [Seen(row.topic, row.key, row.event_id) for number in numbers for row in ROWS if row.id == number]


@pytest.mark.parametrize("numbers", [(1, 2, 3), (2, 1, 3), (1, 3, 1, 3), (5, 4, 6), (1, 3, 1)])
def test_what_keeps_the_order_is_no_problem(numbers: tuple[int, ...]) -> None:
    assert list(out_of_order(ROWS, seen(*numbers), last=False)) == []


@pytest.mark.parametrize("numbers", [(3, 1), (2, 3, 1), (6, 4), (3, 1, 3)])
def test_what_comes_too_late_is_one(numbers: tuple[int, ...]) -> None:
    assert len(list(out_of_order(ROWS, seen(*numbers), last=False))) == 1


def test_a_repetition_counts_by_its_end() -> None:
    assert list(out_of_order(ROWS, seen(3, 1, 2, 3), last=True)) == []
    assert len(list(out_of_order(ROWS, seen(1, 3, 1), last=True))) == 1


def test_a_plan_has_every_fault_and_repeats_with_its_seed() -> None:
    faults = plan(30, random.Random(1))
    assert sorted(faults) == sorted(FAULTS * 3)
    assert faults == plan(30, random.Random(1)) != plan(30, random.Random(2))


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--only", "kill nothing"], ["more"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
