"""Imports of reference data: a table with a row a record, CSV or XLSX, checked in whole before anything is written.

Each row passes the model's own checks (`full_clean`). One row that fails refuses the file. What takes a second person
elsewhere is not imported: fees, limits and order rates are asked for through approvals.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import openpyxl
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from import_export import fields, resources, results, widgets
from openpyxl.utils.exceptions import InvalidFileException
from tablib import Dataset

from exchange.backoffice.columns import plain
from exchange.platform.audit.log import record
from exchange.platform.members.models import Institution
from matching.models import SymbolGroup
from trading.models import Asset, Instrument

MOST_ROWS = 2_000
MOST_BYTES = 900_000  # a request may have no more
MOST_UNPACKED = 30_000_000  # bytes that an XLSX unpacks to


class Unreadable(Exception):
    """The file is no table that we can read; the message says what was wrong."""


class Sheet(resources.ModelResource):
    """A model's rows, found by what people call them. `fixed` cannot change once there is such a row."""

    fixed: ClassVar[tuple[str, ...]] = ()

    def import_field(self, field: Any, instance: Any, row: Any, is_m2m: bool = False, **options: Any) -> None:
        """What can't be read is told with the name of its column."""
        try:
            super().import_field(field, instance, row, is_m2m, **options)
        except ObjectDoesNotExist as error:
            raise ValueError(_("there is no %(value)s") % {"value": row[field.column_name]}) from error
        except ArithmeticError as error:
            raise ValueError(_("%(value)s is no number") % {"value": row[field.column_name]}) from error

    def import_instance(self, instance: Any, row: Any, **options: Any) -> None:
        before = (
            {name: getattr(instance, name) for name in self.fixed}
            if instance.pk and not _new(instance)
            else {}
        )
        super().import_instance(instance, row, **options)
        wrong = {
            name: _("is %(old)s and cannot change") % {"old": old}
            for name, old in before.items()
            if getattr(instance, name) != old
        }
        if wrong:
            raise ValidationError(wrong)


def _new(instance: Any) -> bool:
    return bool(instance._state.adding)


class Assets(Sheet):
    fixed = ("scale",)

    class Meta:
        model = Asset
        fields = ("code", "name", "scale")
        import_id_fields = ("code",)
        clean_model_instances = True
        skip_unchanged = True
        store_instance = True


class Institutions(Sheet):
    class Meta:
        model = Institution
        fields = ("code", "name")
        import_id_fields = ("code",)
        clean_model_instances = True
        skip_unchanged = True
        store_instance = True


class Instruments(Sheet):
    """New ones begin as the model says; halting and moving are commands of their own."""

    fixed = ("base_id", "quote_id", "tick_size", "lot_size", "group_id")
    base = fields.Field("base", "base", widgets.ForeignKeyWidget(Asset, "code"))
    quote = fields.Field("quote", "quote", widgets.ForeignKeyWidget(Asset, "code"))
    group = fields.Field("group", "group", widgets.ForeignKeyWidget(SymbolGroup, "name"))

    class Meta:
        model = Instrument
        fields = (
            *("symbol", "base", "quote", "tick_size", "lot_size", "min_quantity", "max_quantity"),
            *("min_notional", "collar", "group", "market_symbol", "trigger_source"),
        )
        import_id_fields = ("symbol",)
        clean_model_instances = True
        skip_unchanged = True
        store_instance = True


SHEETS: dict[str, type[Sheet]] = {
    "trading.asset": Assets,
    "trading.instrument": Instruments,
    "members.institution": Institutions,
}
FOUR_EYES = ("trading.feeschedule", "risk.limit")


@dataclass(frozen=True)
class Change:
    """What a row does: `fields` as (name, before, after)."""

    number: int
    what: str
    name: str
    fields: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Outcome:
    """`errors` by row (0: the file). With one of them nothing was written."""

    changes: list[Change]
    errors: list[tuple[int, str]]
    unchanged: int


def read(name: str, body: bytes) -> Dataset:
    """The table of a file. Raises Unreadable."""
    if len(body) > MOST_BYTES:
        raise Unreadable(_("The file is larger than %(most)s bytes.") % {"most": MOST_BYTES})
    lines = _xlsx(body) if name.lower().endswith(".xlsx") else _csv(body)
    heads = [str(head or "").strip() for head in next(lines, [])]
    if not any(heads):
        raise Unreadable(_("The first line must name the columns."))
    table = Dataset(headers=heads)
    for number, line in enumerate(lines, 2):
        cells = ["" if value is None else plain(str(value).strip()) for value in line]
        if not any(cells):
            continue
        if len(cells) != len(heads):
            raise Unreadable(
                _("Line %(number)s has %(cells)s values; the first line names %(heads)s columns.")
                % {"number": number, "cells": len(cells), "heads": len(heads)}
            )
        if len(table) == MOST_ROWS:
            raise Unreadable(_("There are more than %(most)s rows.") % {"most": MOST_ROWS})
        table.append(cells)
    return table


def _csv(body: bytes) -> Any:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(_("A CSV must be in UTF-8.")) from error
    delimiter = ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
    return csv.reader(io.StringIO(text), delimiter=delimiter)


def _xlsx(body: bytes) -> Any:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as packed:
            if sum(each.file_size for each in packed.infolist()) > MOST_UNPACKED:
                raise Unreadable(_("This XLSX is far larger unpacked than a table of that size."))
        book = openpyxl.load_workbook(io.BytesIO(body), read_only=True, data_only=True)
        return iter(list(book.worksheets[0].iter_rows(values_only=True, max_row=MOST_ROWS + 2)))
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, IndexError) as error:
        raise Unreadable(_("This is no XLSX file.")) from error


def load(label: str, table: Dataset, *, save: bool) -> Outcome:
    """Write all rows, or with an error or without `save` none. Each row that changes something is recorded."""
    sheet = SHEETS[label]()
    known = [each.column_name for each in sheet.get_import_fields()]
    strange = [head for head in table.headers if head not in known]
    if strange or sheet._meta.import_id_fields[0] not in table.headers:
        said = _("The columns are %(known)s; the first one is needed.") % {"known": ", ".join(known)}
        return Outcome([], [(0, f"{', '.join(strange)}: {said}" if strange else said)], 0)
    with transaction.atomic():
        outcome = _loaded(sheet, table)
        if outcome.errors or not save:
            transaction.set_rollback(True)
        else:
            _record(label, outcome.changes)
    return outcome


def _loaded(sheet: Sheet, table: Dataset) -> Outcome:
    found = sheet.import_data(table, use_transactions=True, rollback_on_validation_errors=True)
    errors = [(0, str(each.error)) for each in found.base_errors]
    errors += [(row.number + 1, _words(each.error)) for row in found.error_rows for each in row.errors]
    errors += [(row.number + 1, _words(row.error)) for row in found.invalid_rows]
    changes, unchanged = [], 0
    for number, row in enumerate(found.rows, 2):
        if row.import_type == results.RowResult.IMPORT_TYPE_SKIP:
            unchanged += 1
        elif row.import_type in (results.RowResult.IMPORT_TYPE_NEW, results.RowResult.IMPORT_TYPE_UPDATE):
            changes.append(_change(sheet, number, row))
    return Outcome(changes, sorted(set(errors)), unchanged)


def _change(sheet: Sheet, number: int, row: Any) -> Change:
    new = row.import_type == results.RowResult.IMPORT_TYPE_NEW
    names = [each.column_name for each in sheet.get_import_fields()]
    after = {name: _told(row.instance, name) for name in names}
    before = {} if new or row.original is None else {name: _told(row.original, name) for name in names}
    fields_ = [
        (name, before.get(name, ""), after[name]) for name in names if after[name] != before.get(name, "")
    ]
    return Change(number, "new" if new else "change", str(row.instance), fields_)


def _told(instance: Any, name: str) -> str:
    value = getattr(instance, name)
    return "" if value is None else str(value)


def _words(error: Any) -> str:
    if isinstance(error, ValidationError):
        if hasattr(error, "error_dict"):
            parts: Iterable[str] = (
                f"{name}: {' '.join(said)}" if name != "__all__" else " ".join(said)
                for name, said in error.message_dict.items()
            )
            return "; ".join(parts)
        return " ".join(error.messages)
    if isinstance(error, IntegrityError):
        return str(error.__cause__).partition("\n")[0]
    return str(error) or type(error).__name__


def _record(label: str, changes: list[Change]) -> None:
    for change in changes:
        record(
            action=f"import.{change.what}",
            resource=f"{label.partition('.')[2]}/{change.name}",
            old={name: old for name, old, _new in change.fields if old},
            new={name: new for name, _old, new in change.fields},
        )
