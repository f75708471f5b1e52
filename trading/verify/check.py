"""A rule, how to look for what breaks it, and what was found.

Most rules are one SELECT (`Check.rows`): one row for each thing that is looked at, with a column `breach` that is null, or says which
row breaks the rule and how. PostgreSQL counts them; no row but the first breach comes here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rule:
    """`invariant` is its number in the list of what must never break, 0 for the ground that they all stand on.

    What breaks a rule is a breach; with `warning` it is worth a look, and no more.
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

    @property
    def result(self) -> str:
        if not self.breaches:
            return "ok"
        return "warning" if self.rule.warning else "breach"

    def breach(self, what: str) -> None:
        self.breaches += 1
        if self.first is None:
            self.first = what


def run(connection: psycopg.Connection[Any], checks: Iterable[Check], progress: Progress) -> Iterator[Finding]:
    for check in checks:
        progress(check.rule.says)
        started = time.monotonic()
        row = connection.execute(_summary(check.rows)).fetchone()
        assert row is not None
        count, breaches, first = row
        yield Finding(check.rule, count, breaches, first, time.monotonic() - started)


def _summary(rows: str) -> Any:
    return f'SELECT count(*), count(breach), min(breach COLLATE "C") FROM ({rows}) AS looked_at'  # noqa: S608
