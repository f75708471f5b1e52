"""Exports: any list of the admin, with its filters and its tenancy, as CSV or XLSX.

Rows are read a thousand at a time in the order of their keys and go out at once; no more are ever held. An XLSX is
written to a temporary file row by row, and has a bound: it can't be sent before it is whole.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from django.db.models import QuerySet
from openpyxl import Workbook

from exchange.backoffice.columns import Cell, Columns
from exchange.base.admin.keyset import Keys

AT_ONCE = 200  # lines in one piece of a CSV
MOST_XLSX_ROWS = 50_000  # on a page: a person waits for the file
SHEET_ROWS = 1_048_575  # beside the heads: what a sheet can have
FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

Progress = Callable[[int], None]


class TooMany(Exception):
    """An XLSX would have more rows than it may."""


def rows(columns: Columns, found: QuerySet[Any]) -> Iterator[list[Cell]]:
    """Newest first, where keys ascend with time."""
    found = found.select_related(None).select_related(*columns.related())
    for record in Keys("-pk").walk(found):
        yield columns.row(record)


def csv_pieces(heads: list[str], lines: Iterable[list[Cell]]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(heads)
    for number, line in enumerate(lines, 1):
        writer.writerow(line)
        if number % AT_ONCE == 0:
            yield _taken(buffer)
    yield _taken(buffer)


def xlsx(heads: list[str], lines: Iterable[list[Cell]], *, most: int = SHEET_ROWS) -> IO[bytes]:
    """A file that is open at its beginning and goes when it is closed. Raises TooMany."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet("export")
    sheet.append(heads)
    number = 0
    for number, line in enumerate(lines, 1):
        if number > most:
            break
        sheet.append(line)
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    book.save(file)  # also of too many: it ends the sheet's own temporary file
    if number > most:
        file.close()
        raise TooMany(most)
    file.seek(0)
    return file


def _taken(buffer: io.StringIO) -> bytes:
    piece = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return piece
