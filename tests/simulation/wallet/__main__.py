"""The long form: `python -m tests.simulation.wallet [--rounds 30] [--seed N] [--json] [--only FAULT …]`.

Exit code 0: nothing was held twice or forgotten, and every promise kept; 1: a problem, and the data is kept for
a look; 2: wrong usage.
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
from tests.simulation.faults.__main__ import table
from tests.simulation.wallet.trial import WalletTrial, is_fault, plan


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="exchange-wallet-"))
    trial = WalletTrial(folder, options.seed, _progress)
    try:
        report = trial.run(options.only or plan(options.rounds, random.Random(options.seed)))
    except SetupError as error:
        _progress(f"wallet trial: {error}")
        return 1
    except KeyboardInterrupt:
        _progress(f"wallet trial: interrupted; logs and data: {folder}")
        return 1
    print(json.dumps(asdict(report), indent=1) if options.json else table(report))
    if report.clean:
        shutil.rmtree(folder)
        return 0
    _progress(f"logs and data: {folder}")
    return 1


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="wallet", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30, metavar="N", help="faults in all (30)")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**6), metavar="N", help="of all that is random"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="FAULT", help="these rounds, in this order"
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    for name in options.only:
        if not is_fault(name):
            parser.error(f"--only {name}: there is no such fault; see tests/simulation/wallet/trial.py")
    return options


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
