"""A statement as CSV: a head with `date`, `amount` and `reference`, then a line for each booking.

Other columns that are used if they are there: `currency` (lines in another one are refused), `type` (CRDT or DBIT, then
amounts have no sign) and `text`. Amounts have a point, or a comma with `comma`; thousands are not set apart.
"""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path
from typing import TextIO

from trading.books import bank_statement as statement
from trading.books.bank_statement import Line, Reading, StatementError, Summary

NEEDED = ("date", "amount", "reference")
SIGNS = {"CRDT": 1, "DBIT": -1}


def read(path: Path, currency: str, *, delimiter: str = ",", comma: bool = False) -> Reading:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            yield from _lines(file, currency, delimiter, comma)
        except UnicodeDecodeError as error:
            raise StatementError(str(path), f"byte {error.start} is not UTF-8") from error


def _lines(file: TextIO, currency: str, delimiter: str, comma: bool) -> Reading:
    rows = csv.reader(file, delimiter=delimiter, strict=True)
    try:
        head = [column.strip().lower() for column in next(rows, [])]
        missing = [column for column in NEEDED if column not in head]
        if missing:
            raise StatementError(
                "line 1", f"the head must name {', '.join(NEEDED)}; {', '.join(missing)} is missing"
            )
        if len(set(head)) != len(head):
            raise StatementError("line 1", "a column is named twice")
        count, total = 0, Decimal(0)
        for row in rows:
            if not any(field.strip() for field in row):
                continue
            where = f"line {rows.line_num}"
            if len(row) != len(head):
                raise StatementError(where, f"{len(row)} fields, the head has {len(head)}")
            line = _line(
                dict(zip(head, (field.strip() for field in row), strict=True)), where, currency, comma
            )
            count, total = count + 1, total + line.amount
            yield line
    except csv.Error as error:
        raise StatementError(f"line {rows.line_num}", f"no CSV: {error}") from error
    yield Summary("", "", currency, count, total=total)


def _line(row: dict[str, str], where: str, currency: str, comma: bool) -> Line:
    if row.get("currency") and row["currency"].upper() != currency:
        raise StatementError(where, f"currency {statement.shortened(row['currency'])}, it must be {currency}")
    text = row["amount"].replace(",", ".", 1) if comma else row["amount"]
    amount = statement.number(text, where, "amount")
    if "type" in row:
        if row["type"].upper() not in SIGNS or amount < 0:
            raise StatementError(where, "type must be CRDT or DBIT, and the amount without a sign")
        amount *= SIGNS[row["type"].upper()]
    if amount == 0:
        raise StatementError(where, "the amount is zero: nothing was booked")
    return Line(
        where,
        statement.day(row["date"], where, "date"),
        amount,
        statement.names([row["reference"]]),
        statement.words(row.get("text", "")),
        row["reference"],
    )
