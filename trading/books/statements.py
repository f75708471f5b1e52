"""A statement for each user who moved anything on a day: what they had, each posting, what they have.

    <institution>/<user>.csv      asset,time,kind,transaction,amount,balance
    statements.sha256             the checksum of each, as `sha256sum --check` reads it

Users are known by their ids; nothing else about them is written.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from exchange.base.times import rfc3339
from trading.books.balance import plain
from trading.books.day import Bounds

FOLDER, MANIFEST = "statements", "statements.sha256"
HEAD = ("asset", "time", "kind", "transaction", "amount", "balance")
REPORT_EVERY = 1000

_ENTRIES = """
    WITH of_day AS MATERIALIZED (
        SELECT posting.account_id, posting.id, posting.transaction_id, posting.amount, entry.kind, entry.created_at
          FROM trading_posting posting
          JOIN trading_transaction entry ON entry.id = posting.transaction_id
          JOIN trading_account account ON account.id = posting.account_id AND account.kind = 'USER'
         WHERE entry.created_at >= %(since)s AND entry.created_at < %(until)s
    ), before AS (
        SELECT posting.account_id, sum(posting.amount) AS total
          FROM trading_posting posting
          JOIN trading_transaction entry ON entry.id = posting.transaction_id
         WHERE entry.created_at < %(since)s AND posting.account_id IN (SELECT account_id FROM of_day)
         GROUP BY posting.account_id)
    SELECT institution.code, account.user_id::text, asset.code, coalesce(before.total, 0),
           of_day.created_at, of_day.kind, of_day.transaction_id::text, of_day.amount
      FROM of_day
      JOIN trading_account account ON account.id = of_day.account_id
      JOIN trading_asset asset ON asset.id = account.asset_id
      JOIN members_institution institution ON institution.id = account.institution_id
      LEFT JOIN before ON before.account_id = of_day.account_id
     ORDER BY institution.code, account.user_id, asset.code, of_day.created_at, of_day.id"""


class Entry(NamedTuple):
    institution: str
    user: str
    asset: str
    opening: Decimal
    at: datetime
    kind: str
    transaction: str
    amount: Decimal


class Written(NamedTuple):
    files: int
    manifest: str  # its SHA-256


def write(
    connection: psycopg.Connection[Any], day: Bounds, folder: Path, progress: Callable[[str], None]
) -> Written:
    """All statements of a day, below `folder`. `connection` is in the snapshot that the report is of."""
    checksums = hashlib.sha256()
    count = 0
    with (folder / MANIFEST).open("w", encoding="utf-8", newline="\n") as manifest:
        for institution, user, entries in _by_user(connection, day):
            name = f"{FOLDER}/{institution}/{user}.csv"
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = statement(day, entries).encode()
            path.write_bytes(text)
            line = f"{hashlib.sha256(text).hexdigest()}  {name}\n"
            manifest.write(line)
            checksums.update(line.encode())
            count += 1
            if count % REPORT_EVERY == 0:
                progress(f"{count:,} statements")
    return Written(count, checksums.hexdigest())


def statement(day: Bounds, entries: Iterator[Entry]) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(HEAD)
    for asset, of_asset in groupby(entries, lambda entry: entry.asset):
        balance: Decimal | None = None
        for entry in of_asset:
            if balance is None:
                balance = entry.opening
                rows.writerow([asset, rfc3339(day.since), "OPENING", "", "", plain(balance)])
            balance += entry.amount
            amount, at = plain(entry.amount), rfc3339(entry.at, "microseconds")
            rows.writerow([asset, at, entry.kind, entry.transaction, amount, plain(balance)])
        assert balance is not None, "a group has an entry"
        rows.writerow([asset, rfc3339(day.until), "CLOSING", "", "", plain(balance)])
    return out.getvalue()


def check(folder: Path, expected: dict[str, Any]) -> list[str]:
    """What differs between the files beside a report and what it says of them."""
    path = folder / MANIFEST
    if not path.is_file():
        return [f"{path} is missing: statements were not compared"]
    text = path.read_bytes()
    if hashlib.sha256(text).hexdigest() != expected["manifest"]:
        return [f"{MANIFEST} was changed"]
    listed = dict(line.split("  ", 1)[::-1] for line in text.decode().splitlines())
    found = []
    for name, checksum in listed.items():
        try:
            same = hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum
        except OSError as error:
            found.append(f"{name}: {error.strerror}")
            continue
        if not same:
            found.append(f"{name} was changed")
    there = {path.relative_to(folder).as_posix() for path in (folder / FOLDER).rglob("*") if path.is_file()}
    return [*found, *(f"{name} was added" for name in sorted(there - set(listed)))]


def _by_user(connection: psycopg.Connection[Any], day: Bounds) -> Iterator[tuple[str, str, Iterator[Entry]]]:
    with connection.cursor("statements") as cursor:
        cursor.itersize = 5000
        cursor.execute(_ENTRIES, {"since": day.since, "until": day.until})
        entries = (Entry(*row) for row in cursor)
        for (institution, user), of_user in groupby(entries, lambda entry: (entry.institution, entry.user)):
            yield institution, user, of_user
