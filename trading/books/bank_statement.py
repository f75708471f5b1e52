"""What a bank's statement says, whatever file it came in: lines, one after another, and what is said about them all.

A reader is a function from a path to an iterator of `Line` and `Summary`, in the file's order. It keeps one line at a
time, so a file may be of any length, and raises `StatementError` where it finds something wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation

LONGEST = 100  # characters of what is wrong that an error repeats
_NOISE = re.compile(r"[^0-9A-Z]")
_NUMBER = re.compile(r"[+-]?\d{1,21}(\.\d{1,18})?")
LEAST_WORD = 6  # characters of a word in a text that may be a reference


class StatementError(Exception):
    """The file is no statement that can be read; says where and what would be right."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}" if where else what)


@dataclass(frozen=True, slots=True)
class Line:
    """One booking of the bank. `amount` is above zero for what came in. `references` are names that one side gave it,
    `words` those that may be names, out of its text; both as `name` makes them."""

    where: str
    day: date
    amount: Decimal
    references: tuple[str, ...]
    words: tuple[str, ...] = ()
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of one account's statement. Balances are None where the bank gives none; `pending` were left out."""

    where: str
    account: str
    currency: str
    lines: int
    opening: Decimal | None = None
    closing: Decimal | None = None
    total: Decimal = Decimal(0)
    pending: int = 0

    @property
    def adds_up(self) -> bool:
        return self.opening is None or self.closing is None or self.opening + self.total == self.closing


Reading = Iterator[Line | Summary]


def name(text: str) -> str:
    """A reference as it is compared: letters and digits alone, in capitals. Banks change the rest, and their fields are
    too short for an id with its dashes."""
    return _NOISE.sub("", text.upper())


def names(texts: list[str]) -> tuple[str, ...]:
    """Without what says nothing. NOTPROVIDED is ISO 20022's own word for that."""
    return tuple(dict.fromkeys(found for found in map(name, texts) if found and found != "NOTPROVIDED"))


def words(text: str) -> tuple[str, ...]:
    """What may be a reference in a text for people."""
    return tuple(word for word in names(re.split(r"[\s/,;:|]+", text)) if len(word) >= LEAST_WORD)


def number(text: str, where: str, what: str) -> Decimal:
    """An amount without anything but digits, a sign and a point."""
    if not _NUMBER.fullmatch(text):
        raise StatementError(where, f"{what} {shortened(text)} is not an amount such as 1250.00")
    try:
        return Decimal(text)
    except InvalidOperation as error:  # pragma: no cover - the pattern lets only numbers through
        raise StatementError(where, f"{what} {shortened(text)} is not a number") from error


def day(text: str, where: str, what: str) -> date:
    """A date, or the date of a time."""
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise StatementError(where, f"{what} {shortened(text)} is not a date such as 2026-11-22") from None


def shortened(text: str) -> str:
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")
