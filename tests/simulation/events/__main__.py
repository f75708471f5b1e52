"""The long form: `python -m tests.simulation.events [--rounds 30] [--seed N] [--json] [--only FAULT …]`.

Exit code 0: nothing was lost, doubled or out of order; 1: a problem, and the stack's home is kept for a look; 2: wrong
usage.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from exchange.embedded.home import SetupError
from tests.simulation.events.trial import FAULTS, Report, Trial, line, plan


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="events", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30, metavar="N", help="faults in all (30)")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**6), metavar="N", help="of all that is random"
    )
    parser.add_argument(
        "--only", action="append", choices=FAULTS, metavar="FAULT", help="these, in this order"
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="exchange-events-"))
    trial = Trial(folder / "home", options.seed, _progress)
    try:
        report = trial.run(options.only or plan(options.rounds, random.Random(options.seed)))
    except (SetupError, KeyboardInterrupt) as error:
        _progress(f"events: {error or 'interrupted'}; logs and data: {folder}")
        return 1
    print(json.dumps(asdict(report), indent=1) if options.json else table(report))
    if report.clean:
        shutil.rmtree(folder)
        return 0
    _progress(f"logs and data: {folder}")
    return 1


def table(report: Report) -> str:
    """The report for people."""
    lines = [line(each, len(report.rounds)) for each in report.rounds]
    lines += [f"round {each.number}: {problem}" for each in report.rounds for problem in each.problems]
    verdict = "nothing lost, doubled or out of order" if report.clean else "PROBLEMS"
    lines.append(
        f"{len(report.rounds)} rounds in {report.seconds:.0f} s, {report.events} events, seed {report.seed}: {verdict}"
    )
    return "\n".join(lines)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
