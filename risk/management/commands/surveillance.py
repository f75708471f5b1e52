"""`manage.py surveillance`: how good the detectors are, what they find now, and which case to look at first."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import django.db
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from risk.surveillance import ranking, run
from risk.surveillance.evaluation import report, score

MOST_ROUNDS = 1000

Outcome = tuple[dict[str, Any], list[str]]  # for --json, and as lines


class Command(BaseCommand):
    help = (
        "Look for market abuse. --evaluate: precision and recall of the detectors on simulated flow with known "
        "abusers; needs no database. "
        "--run: look at all markets now and raise what is found. --rank: order the queue of cases. "
        "Exit code 0: done; 1: --rank without the extra [surveillance]; 2: bad usage, or no database."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--evaluate", action="store_true", help="measure precision and recall")
        what.add_argument("--run", action="store_true", help="look now, whoever's turn it is")
        what.add_argument("--rank", action="store_true", help="rank the cases under way")
        parser.add_argument(
            "--seed", type=int, default=score.FIRST_SEED, help="of the first round (default: %(default)s)"
        )
        parser.add_argument("--rounds", type=int, default=score.ROUNDS, help="default: %(default)s")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
        parser.add_argument(
            "--dry-run", action="store_true", help="with --run or --rank: find, and keep nothing of it"
        )

    def handle(
        self, *args: Any, seed: int, rounds: int, as_json: bool, dry_run: bool, **options: Any
    ) -> None:
        if not 1 <= rounds <= MOST_ROUNDS or seed < 0:
            raise CommandError(f"--rounds is from 1 to {MOST_ROUNDS}, --seed not negative", returncode=2)
        if dry_run and options["evaluate"]:
            raise CommandError(
                "--dry-run goes with --run or --rank: --evaluate changes nothing", returncode=2
            )
        if options["evaluate"]:
            found = score.evaluate(range(seed, seed + rounds), self._progress)
            document, lines = report.as_document(found, seed), report.as_table(found, seed)
        else:
            try:
                act = self._run if options["run"] else self._rank
                document, lines = _taken_back(act) if dry_run else act()
            except django.db.OperationalError as error:
                raise CommandError(f"no database: {str(error).splitlines()[0]}", returncode=2) from error
        if as_json:
            self.stdout.write(json.dumps(document | {"dry_run": dry_run}, indent=2))
        else:
            for line in lines:
                self.stdout.write(line)

    def _run(self) -> Outcome:
        looked = run.everything()
        findings = [
            {"kind": one.kind, "market": one.symbol, "users": one.users, "score": one.score, **one.detail}
            for one in looked.findings
        ]
        lines = [f"{one.kind:18} {one.symbol:12} {' '.join(one.users)}" for one in looked.findings]
        return {"jobs": looked.jobs, "raised": findings}, [
            *lines,
            f"{looked.jobs} jobs, {len(findings)} raised",
        ]

    def _rank(self) -> Outcome:
        try:
            ranked = ranking.rank_cases()
        except ranking.ExtraMissing as error:
            raise CommandError(str(error)) from None
        return {"ranked": ranked}, [f"{ranked} cases ranked"]

    def _progress(self, what: str) -> None:
        self.stderr.write(f"… {what}")


def _taken_back(act: Callable[[], Outcome]) -> Outcome:
    """What comes of it, and nothing stays."""
    with transaction.atomic():
        found = act()
        transaction.set_rollback(True)
    document, lines = found
    return document, [*lines, "nothing was kept: --dry-run"]
