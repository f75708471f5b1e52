"""A rule, how to look for what breaks it, and what was found.

Most rules are one query (`Check.rows`) in a file of sql/, to be read, or run in psql:

    -- check NAME (INVARIANT; THINGS[; warning]): WHAT THE RULE SAYS
    SELECT …;

It gives a row for each thing that it looks at, with one column `breach`: null, or which row breaks the rule
and how. PostgreSQL counts them, so that no row comes here but the first breach.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

Progress = Callable[[str], None]

NAMED = 100  # breaches of one rule that are kept

_FOLDER = Path(__file__).parent / "sql"
_CHECK = re.compile(
    r"^-- check (\w+) \((\d); ([^;)]+)(; warning)?\): (.+)\n((?:.*\n)*?)(?=\n-- check |\Z)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Rule:
    """`invariant` is its number in the list of what must never break; 0 is the ground that all stand on.

    What breaks a rule is a breach, or, with `warning`, worth a look and no more.
    """

    name: str
    invariant: int
    says: str
    looked_at: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    rule: Rule
    rows: str


@dataclass(slots=True)
class Finding:
    """What came of a rule: how many things were looked at, how many break it, and the first of these."""

    rule: Rule
    count: int = 0
    breaches: int = 0
    first: str | None = None
    seconds: float = 0.0
    named: list[str] = field(default_factory=list)  # the first few, where they come one by one

    @property
    def result(self) -> str:
        if not self.breaches:
            return "ok"
        return "warning" if self.rule.warning else "breach"

    def breach(self, what: str) -> None:
        self.breaches += 1
        if self.first is None:
            self.first = what
        if len(self.named) < NAMED:
            self.named.append(what)


def load(name: str) -> list[Check]:
    """The checks of one file."""
    text = (_FOLDER / f"{name}.sql").read_text()
    checks = [
        Check(Rule(rule, int(invariant), says, things, bool(warning)), rows.rstrip().removesuffix(";"))
        for rule, invariant, things, warning, says, rows in _CHECK.findall(text)
    ]
    assert len(checks) == text.count("-- check "), f"{name}.sql: a check has another form"
    return checks


def run(
    connection: psycopg.Connection[Any], checks: Iterable[Check], progress: Progress
) -> Iterator[Finding]:
    for check in checks:
        progress(check.rule.says)
        started = time.monotonic()
        summary = f'SELECT count(*), count(breach), min(breach COLLATE "C") FROM ({check.rows}) AS looked_at'
        row = connection.execute(summary).fetchone()
        assert row is not None
        count, breaches, first = row
        yield Finding(check.rule, count, breaches, first, time.monotonic() - started)
