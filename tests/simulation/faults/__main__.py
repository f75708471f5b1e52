"""The long form: `python -m tests.simulation.faults [--rounds 50] [--seed N] [--json] [--only FAULT …]`.

Exit code 0: every promise was kept; 1: a problem, and the stack's home is kept for a look; 2: wrong usage.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import NoReturn

from exchange.embedded.home import SetupError
from tests.simulation.faults.injection import is_fault, plan
from tests.simulation.faults.trial import Report, Trial


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="exchange-faults-"))
    trial = Trial(folder / "home", options.seed, options.away, _progress)
    try:
        report = trial.run(options.only or plan(options.rounds, random.Random(options.seed)))
    except SetupError as error:
        _progress(f"faults: {error}")
        return 1
    except KeyboardInterrupt:
        _progress(f"faults: interrupted; logs and data: {folder}")
        return 1
    print(json.dumps(asdict(report), indent=1) if options.json else table(report))
    if report.clean:
        shutil.rmtree(folder)
        return 0
    _progress(f"logs and data: {folder}")
    return 1


def table(report: Report) -> str:
    """The report for people."""
    lines = [
        "round  fault                         seconds   gap  meanwhile  orders  202  503  cut off  problems"
    ]
    for each in report.rounds:
        counts = Counter(each.counts)
        late = sum(number for name, number in counts.items() if name.endswith(" 202"))
        lines.append(
            f"{each.number:5}  {each.fault:28}  {each.seconds:7.1f} {each.gap:5.1f}  {each.during:9}  "
            f"{counts['orders']:6}  {late:3}  {counts['503']:3}  {counts['cut off']:7}  "
            f"{len(each.problems):8}"
        )
    lines += [f"{name:20} {number}" for name, number in report.totals.items()]
    lines += [f"round {each.number}: {problem}" for each in report.rounds for problem in each.problems]
    lines += [
        f"verify: {json.dumps(report.verify)}",
        f"verify --replay: {json.dumps(report.replay)}",
        *report.problems,
    ]
    verdict = "every promise was kept" if report.clean else "PROBLEMS"
    lines.append(f"{len(report.rounds)} rounds in {report.seconds:.0f} s, seed {report.seed}: {verdict}")
    return "\n".join(lines)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="faults", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=50, metavar="N", help="faults in all (50)")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**6), metavar="N", help="of all that is random"
    )
    parser.add_argument("--away", type=float, default=20.0, metavar="S", help="seconds without Valkey (20)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="FAULT", help="these rounds, in this order"
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.away <= 0:
        parser.error("--rounds must be at least 1, --away above 0")
    for name in options.only:
        if not is_fault(name):
            parser.error(f"--only {name}: there is no such fault; see tests/simulation/faults/injection.py")
    return options


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
