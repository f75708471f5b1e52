"""Is a signed report of a closed day still true? Its signature, the statements beside it, and the ledger of today."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import psycopg

from trading.books import balance, late, signing, statements
from trading.models import EndOfDay


def of_file(path: Path, key: signing.PublicKey) -> tuple[dict[str, Any], list[str]]:
    """The report, and what is wrong with it and the files beside it. Raises signing.Tampered, OSError."""
    report = signing.verify(signing.read(path.read_bytes()), key)
    if report.get("kind") != "end-of-day" or report.get("version") != 1:
        raise signing.Tampered("it is signed, but no report of a closed day that this version knows")
    return report, statements.check(path.parent, report["statements"])


def against_ledger(report: dict[str, Any], connection: psycopg.Connection[Any]) -> list[str]:
    """What the database says of this day now that the report does not."""
    day = date.fromisoformat(report["day"])
    closed = EndOfDay.objects.filter(pk=day).first()
    if closed is None:
        return [f"{day} is not closed in this database"]
    found = []
    if closed.digest != signing.digest(report):
        found.append(f"{day} was closed with another report: its digest is {closed.digest}")
    found += (differing := late.differences(connection, day))
    if differing:
        found += [f"came after the closing: {name}" for name in late.transactions(connection, closed)]
    signed = {tuple(sorted(row.items())) for row in report["trial_balance"]}
    now = {tuple(sorted(balance.as_row(line).items())) for line in balance.lines(connection, closed.ends_at)}
    found += [f"the trial balance had {_line(row)}" for row in sorted(signed - now)]
    found += [f"the trial balance of then is now {_line(row)}" for row in sorted(now - signed)]
    return found


def _line(row: tuple[tuple[str, Any], ...]) -> str:
    line = dict(row)
    where = f"{line['institution']} {line['kind']} {line['asset']}"
    return f"{where}: debit {line['debit']}, credit {line['credit']}, {line['postings']} postings"
