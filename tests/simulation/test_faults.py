"""The fault trials in short: a few kills under load, and nothing that was acknowledged is lost or done twice.

`python -m tests.simulation.faults` does it for longer, and in more ways.
"""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import psutil
import pytest

from exchange.embedded.stack import MARK
from matching.order_status import OrderStatus
from tests.simulation.faults.__main__ import main, table
from tests.simulation.faults.injection import LASTING, SINGLES, is_fault, plan
from tests.simulation.faults.promises import Promises, State, breach
from tests.simulation.faults.trial import Trial

SEED = 11
ROUNDS = (
    "matcher-alpha + stream",
    "flush",
    "valkey-down",
    "web + postgres",
    "matcher-beta + backend",
)
AWAY_SECONDS = 3.0

RESTING = State(
    order_id="1",
    number=1,
    client_order_id="a",
    symbol="BTC/USDT",
    status=OrderStatus.PARTIALLY_FILLED,
    price=Decimal(100),
    quantity=Decimal(5),
    filled=Decimal(2),
    remaining=Decimal(3),
    fee=Decimal("0.1"),
    reason="",
)
FILLED = replace(RESTING, status=OrderStatus.FILLED, filled=Decimal(5), remaining=Decimal(0))


@pytest.mark.timeout(400)
def test_acknowledged_orders_survive_kills_and_take_effect_once(tmp_path: Path) -> None:
    trial = Trial(tmp_path / "home", SEED, AWAY_SECONDS, print)
    report = trial.run(ROUNDS)
    assert report.clean, table(report)
    assert [each.fault for each in report.rounds] == list(ROUNDS)
    assert all(each.counts["orders"] > 0 and each.during > 0 for each in report.rounds), table(report)
    assert report.totals["order 201"] > 100, table(report)
    assert report.totals["feed messages"] > 100, table(report)
    assert [process for process in psutil.process_iter() if _is_of(process, tmp_path / "home")] == []


def _is_of(process: psutil.Process, home: Path) -> bool:
    try:
        return bool(process.environ().get(MARK) == str(home))
    except psutil.Error:
        return False


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (RESTING, RESTING, ""),
        (RESTING, FILLED, ""),
        (replace(RESTING, status=OrderStatus.PENDING, filled=Decimal(0)), FILLED, ""),
        (RESTING, replace(RESTING, order_id="2"), "is another order"),
        (RESTING, replace(RESTING, status=OrderStatus.OPEN), "took an illegal move"),
        (RESTING, replace(RESTING, filled=Decimal(1)), "lost a fill"),
        (FILLED, RESTING, "changed although it was closed"),
        (FILLED, replace(FILLED, fee=Decimal("0.2")), "changed although it was closed"),
    ],
)
def test_a_broken_promise_is_told_from_progress(before: State, after: State, expected: str) -> None:
    assert breach(before, after) == expected


def test_promises_know_what_was_asked_for() -> None:
    promises = Promises()
    promises.saw(RESTING, "an answer")
    promises.ask("a", RESTING.terms)
    promises.saw(RESTING, "an answer")
    promises.saw(replace(RESTING, price=Decimal(101)), "an answer")
    promises.ask("a", (Decimal(102), Decimal(5)))
    promises.saw(replace(RESTING, price=Decimal(102)), "an answer")
    promises.over.add("a")
    promises.saw(replace(RESTING, price=Decimal(102)), "an answer")
    problems = promises.take_problems()
    wanted = ["was never asked for", "has terms that nobody asked for", "is open although it was to be over"]
    assert len(problems) == len(wanted)
    assert all(want in problem for want, problem in zip(wanted, problems, strict=True)), problems


def test_a_plan_has_every_fault_and_repeats_with_its_seed() -> None:
    faults = plan(50, random.Random(1))
    assert len(faults) == 50
    assert set(faults) >= {*SINGLES, *LASTING}
    assert all(is_fault(fault) for fault in faults)
    assert faults == plan(50, random.Random(1)) != plan(50, random.Random(2))


@pytest.mark.parametrize(
    "arguments", [["--rounds", "0"], ["--only", "web + nothing"], ["--away", "-1"], ["more"]]
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
