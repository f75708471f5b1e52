"""A statement file against what the ledger says of one institution's CUSTODY account in one asset.

What the ledger has taken out of CUSTODY came in at the bank, so both are compared with the sign of the bank. A booking
is known by the id of its transaction, by the id of the payment that it belongs to, and by the references that its user
and the bank gave that payment. The file is read twice: first to its end, so that nothing is reported of half a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from exchange.base.env import env
from exchange.platform.members.models import Institution
from trading.books import bank_statement as statement
from trading.books import camt053, csv_statement
from trading.books.bank_statement import Line, Reading, StatementError, Summary
from trading.books.day import bounds
from trading.books.matching import Booking, Finding, Matcher
from trading.models import Asset

Progress = Callable[[str], None]
REPORT_EVERY = 100_000
_HEAD = 4096

_BOOKINGS = """
    SELECT entry.id::text, entry.created_at, -posting.amount,
           array_remove(ARRAY[deposit.id::text, deposit.reference, deposit.client_reference, withdrawal.id::text,
                              withdrawal.reference, withdrawal.client_reference], NULL)
      FROM trading_account account
      JOIN trading_posting posting ON posting.account_id = account.id
      JOIN trading_transaction entry ON entry.id = posting.transaction_id
      LEFT JOIN trading_deposit deposit ON deposit.transaction_id = entry.id
      LEFT JOIN trading_withdrawal withdrawal ON withdrawal.transaction_id = entry.id
     WHERE account.kind = 'CUSTODY' AND account.institution_id = %s AND account.asset_id = %s
       AND entry.created_at >= %s AND entry.created_at < %s
     ORDER BY entry.created_at, entry.id"""
_UNDER_WAY = """
    SELECT 'deposit ' || id || ' is ' || state, ARRAY[id::text, reference, client_reference] FROM trading_deposit
     WHERE transaction_id IS NULL AND asset_id = %(asset)s
       AND user_id IN (SELECT id FROM members_user WHERE institution_id = %(institution)s)
    UNION ALL
    SELECT 'withdrawal ' || id || ' is ' || state, ARRAY[id::text, reference, client_reference] FROM trading_withdrawal
     WHERE transaction_id IS NULL AND asset_id = %(asset)s
       AND user_id IN (SELECT id FROM members_user WHERE institution_id = %(institution)s)"""
_BALANCE = """
    SELECT coalesce(-sum(posting.amount), 0)
      FROM trading_account account
      JOIN trading_posting posting ON posting.account_id = account.id
      JOIN trading_transaction entry ON entry.id = posting.transaction_id
     WHERE account.kind = 'CUSTODY' AND account.institution_id = %s AND account.asset_id = %s
       AND entry.created_at < %s"""


@dataclass(frozen=True, slots=True)
class Source:
    """Which file, and how it is to be read. `form` is csv, camt.053 or empty: then its first byte says."""

    path: Path
    form: str = ""
    account: str = ""
    delimiter: str = ","
    comma: bool = False

    def read(self, currency: str) -> Reading:
        if self._form() == "camt.053":
            return camt053.read(self.path, currency, self.account)
        return csv_statement.read(self.path, currency, delimiter=self.delimiter, comma=self.comma)

    def _form(self) -> str:
        if self.form:
            return self.form
        with self.path.open("rb") as file:
            start = file.read(_HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
        return "camt.053" if start.startswith(b"<") else "csv"


@dataclass(frozen=True, slots=True)
class Scope:
    """What was compared. Days belong to EXCHANGE_DAY_ZONE; both are included."""

    institution: Institution
    asset: Asset
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Report:
    scope: Scope
    summaries: list[Summary]
    by_reference: int
    by_amount: int
    findings: list[Finding]
    ledger_total: Decimal
    ledger_balance: Decimal  # at the end of the last day

    @property
    def clean(self) -> bool:
        return not self.findings and all(summary.adds_up for summary in self.summaries)


def reconcile(
    connection: psycopg.Connection[Any],
    source: Source,
    institution: Institution,
    asset: Asset,
    *,
    since: date | None,
    until: date | None,
    days: int,
    progress: Progress,
) -> Report:
    """Raises StatementError, OSError."""
    first, last, summaries = _survey(source, asset.code, since, until, progress)
    scope = Scope(institution, asset, first, last)
    bookings = _bookings(connection, scope, days)
    matcher = Matcher(bookings, days, _under_way(connection, scope))
    lines = (each for each in source.read(asset.code) if isinstance(each, Line) and first <= each.day <= last)
    findings = list(matcher.run(lines))
    ((balance,),) = connection.execute(_BALANCE, (institution.pk, asset.pk, bounds(last).until))
    total = sum((each.amount for each in bookings if each.wanted), Decimal(0))
    return Report(scope, summaries, matcher.by_reference, matcher.by_amount, findings, total, balance)


def _survey(
    source: Source, currency: str, since: date | None, until: date | None, progress: Progress
) -> tuple[date, date, list[Summary]]:
    """From when to when the statement goes, and its summaries. Raises StatementError for one that is no use."""
    first = last = None
    summaries, count = [], 0
    for each in source.read(currency):
        if isinstance(each, Summary):
            summaries.append(each)
            continue
        first, last = min(first or each.day, each.day), max(last or each.day, each.day)
        count += 1
        if count % REPORT_EVERY == 0:
            progress(f"{count:,} lines read")
    accounts = sorted({summary.account for summary in summaries})
    if not summaries:
        which = f" of account {source.account}" if source.account else ""
        raise StatementError("", f"no statement{which} in {currency} is in it")
    if len(accounts) > 1:
        raise StatementError(
            "", f"statements of several accounts, say which with --account: {', '.join(accounts)}"
        )
    first, last = since or first, until or last
    if first is None or last is None:
        raise StatementError("", "it has no lines: say with --from and --to what it is a statement of")
    if first > last:
        raise StatementError("", f"from {first} to {last}: that is no time")
    return first, last, summaries


def _bookings(connection: psycopg.Connection[Any], scope: Scope, days: int) -> list[Booking]:
    """Those of the time, and of some days around it, which a line may belong to but need not."""
    around = timedelta(days=days)
    span = (bounds(scope.first - around).since, bounds(scope.last + around).until)
    zone = ZoneInfo(env.exchange_day_zone)
    found = []
    for name, at, amount, references in _rows(connection, scope, span):
        day = at.astimezone(zone).date()
        known = statement.names([name, *references])
        found.append(Booking(name, day, amount, known, wanted=scope.first <= day <= scope.last))
    return found


def _under_way(connection: psycopg.Connection[Any], scope: Scope) -> dict[str, str]:
    """Payments that are not booked yet, by their names: a line of the bank about one is no riddle."""
    given = {"asset": scope.asset.pk, "institution": scope.institution.pk}
    rows = connection.execute(_UNDER_WAY, given).fetchall()
    return {name: says for says, references in rows for name in statement.names(references)}


def _rows(
    connection: psycopg.Connection[Any], scope: Scope, span: tuple[datetime, datetime]
) -> Iterator[tuple[str, datetime, Decimal, list[str]]]:
    yield from connection.execute(_BOOKINGS, (scope.institution.pk, scope.asset.pk, *span))
