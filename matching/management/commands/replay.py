"""`manage.py replay FILE`: recorded flow through our own core, our fills compared with the venue's.

    manage.py replay es_mbo_20231225.csv.gz
    manage.py replay es_mbo_20231225.csv --json

Needs no database. The result goes to stdout, progress to stderr. Exit code 0 if all is well, 1 if we and the
venue differ (see `Report.passed`), 2 if the file cannot be read or has nothing to compare.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError

from matching.recorded.inferred import Hindsight
from matching.recorded.recording import Fill, FlowError, Row, events, read
from matching.recorded.replay import EXPLANATIONS, Comparison, Difference, Replay, Report

PROGRESS_EVERY = 1_000  # events


class Command(BaseCommand):
    help = "Replays recorded market-by-order rows and compares our fills with the venue's."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a .csv or .csv.gz recording")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, file: Path, json: bool, **options: Any) -> None:
        report = self._replay(_events(file))
        if not report.aggressors:
            raise CommandError(f"{file}: no trades to compare", returncode=2)
        if json:
            self.stdout.write(msgspec.json.format(msgspec.json.encode(summary(report)), indent=2).decode())
        else:
            self.stdout.write("\n".join(lines(report)))
        if not report.passed:
            raise CommandError("our fills are not the venue's", returncode=1)

    def _replay(self, whole: list[list[Row]]) -> Report:
        replay = Replay(Hindsight(whole))
        for number, event in enumerate(whole, 1):
            replay.event(event)
            if number % PROGRESS_EVERY == 0 or number == len(whole):
                self.stderr.write(f"\r{number:,} of {len(whole):,} events", style_func=str, ending="")
                self.stderr.flush()
        self.stderr.write("")
        replay.compare_books()
        return replay.report


def _events(file: Path) -> list[list[Row]]:
    try:
        return list(events(read(file)))
    except FlowError as error:
        raise CommandError(str(error), returncode=2) from error
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror or error}", returncode=2) from error


def summary(report: Report) -> dict[str, Any]:
    return {
        "passed": report.passed,
        "rows": report.rows,
        "events": report.events,
        "commands": report.commands,
        "auction_fills": report.auction_fills,
        "aggressors": report.aggressors.total(),
        "classes": {
            kind: {"count": report.aggressors[kind], "explanation": EXPLANATIONS[kind]} for kind in Comparison
        },
        "share_exact": report.share,
        "share_exact_without_icebergs": report.share_without_icebergs,
        "fills": report.fills,
        "fills_alike": report.fills_alike,
        "self_matches": len(report.self_matched_there),
        "self_matches_alike": len(report.self_matched_there & report.self_matched_here),
        "self_matches_only_ours": len(report.self_matched_here - report.self_matched_there),
        "books_compared": report.books_compared,
        "books_alike": report.books_alike,
        "differences": [difference._asdict() for difference in report.differences],
    }


def lines(report: Report) -> list[str]:
    both = report.self_matched_here & report.self_matched_there
    total = report.aggressors.total()
    return [
        f"{report.rows:,} rows in {report.events:,} events gave {report.commands:,} commands",
        f"the opening auction, set apart: {report.auction_fills} fills, taken off as they were",
        "",
        f"{total:,} aggressors in continuous trading",
        *(f"{report.aggressors[kind]:>7,}  {kind:<17} {EXPLANATIONS[kind]}" for kind in Comparison),
        "",
        f"exact: {report.share:.2%} of all, {report.share_without_icebergs:.2%} with icebergs set apart",
        f"fills alike: {report.fills_alike:,} of {report.fills:,}",
        f"orders that self-match prevention took out: {len(report.self_matched_there)} at the venue, "
        f"{len(report.self_matched_here)} here, {len(both)} of them the same",
        f"whole books compared: {report.books_compared}, alike: {report.books_alike}",
        *(["", "differences, as order@ticksxlots:"] if report.differences else []),
        *(_line(difference) for difference in report.differences),
    ]


def _line(difference: Difference) -> str:
    """The fills from the first that differs to the last."""
    ours, theirs = difference.ours, difference.theirs
    while ours and theirs and ours[0] == theirs[0]:
        ours, theirs = ours[1:], theirs[1:]
    while ours and theirs and ours[-1] == theirs[-1]:
        ours, theirs = ours[:-1], theirs[:-1]
    return f"  {difference.sequence} {difference.kind}: ours {_fills(ours)}, theirs {_fills(theirs)}"


def _fills(fills: list[Fill]) -> str:
    return " ".join(f"{fill.maker}@{fill.price}x{fill.size}" for fill in fills) or "none"
