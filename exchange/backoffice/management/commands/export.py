"""`manage.py export`: a table of the back office as a file."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.contrib import admin
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import DateTimeField, QuerySet, UUIDField
from django.http import HttpRequest

from exchange.backoffice import exporting
from exchange.backoffice.columns import Cell, columns
from exchange.base import ids
from exchange.platform.members.models import Institution, User

EVERY = 10_000  # rows between two words of progress


class Command(BaseCommand):
    help = (
        "Write a table of the back office to a file, newest rows first: the columns that its page shows, amounts as "
        "exact text, times in UTC. Rows are streamed, so a table may be of any size; an XLSX has at most 1,048,575. "
        "Exit code 0: done; 1: an XLSX would have more rows; 2: bad usage."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="app.model, such as trading.order; `list` names all")
        parser.add_argument("--format", choices=sorted(exporting.FORMATS), default="csv", help="default: csv")
        parser.add_argument("--from", dest="since", metavar="TIME", help="first moment, such as 2026-11-01")
        parser.add_argument(
            "--to", dest="until", metavar="TIME", help="first moment that is not exported any more"
        )
        parser.add_argument("--institution", metavar="CODE", help="only what belongs to it")
        parser.add_argument(
            "-o", "--output", default="-", metavar="FILE", help="- is standard output (the default)"
        )
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="say on stderr as JSON what was written"
        )

    def handle(
        self,
        *args: Any,
        model: str,
        format: str,
        since: str | None,
        until: str | None,
        institution: str | None,
        output: str,
        as_json: bool,
        **options: Any,
    ) -> None:
        if model == "list":
            self.stdout.write("\n".join(sorted(_pages())))
            return
        page = _page(model)
        rows = _of(page, page.model._default_manager.all(), institution)
        rows = _within(rows, _moment(since, "--from"), _moment(until, "--to"))
        made = columns(page, _everybody())
        counter = _Counter(self.stderr, exporting.rows(made, rows), quiet=as_json)
        if output == "-" and format == "xlsx" and sys.stdout.isatty():
            raise CommandError("an XLSX is no text: give -o FILE", returncode=2)
        try:
            with _target(output, self.stdout) as file:
                _write(file, format, made.heads(), counter)
        except exporting.TooMany as error:
            self.stderr.write(f"more than {error} rows: take --format csv, or less with --from and --to")
            raise SystemExit(1) from error
        answer = {"model": model, "format": format, "rows": counter.count, "output": output}
        self.stderr.write(json.dumps(answer) if as_json else f"{counter.count} rows of {model}")


class _Counter:
    """Counts the rows that pass, and says so now and then."""

    def __init__(self, stderr: Any, rows: Iterable[list[Cell]], *, quiet: bool) -> None:
        self._stderr, self._rows, self._quiet = stderr, rows, quiet
        self.count = 0

    def __iter__(self) -> Iterator[list[Cell]]:
        for row in self._rows:
            self.count += 1
            if self.count % EVERY == 0 and not self._quiet:
                self._stderr.write(f"{self.count} rows …")
            yield row


def _write(file: BinaryIO, kind: str, heads: list[str], rows: Iterable[list[Cell]]) -> None:
    if kind == "csv":
        for piece in exporting.csv_pieces(heads, rows):
            file.write(piece)
        return
    with exporting.xlsx(heads, rows) as made:
        shutil.copyfileobj(made, file)


@contextmanager
def _target(output: str, stdout: Any) -> Iterator[BinaryIO]:
    """A file appears under its name when it is whole."""
    if output == "-":
        yield getattr(stdout._out, "buffer", None) or cast(BinaryIO, _Text(stdout))
        return
    path = Path(output)
    if not path.parent.is_dir():
        raise CommandError(f"there is no folder {path.parent}", returncode=2)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class _Text:
    """Bytes into a stream of text, as `call_command` gives one."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, piece: bytes) -> int:
        self._stream._out.write(piece.decode())
        return len(piece)


def _pages() -> dict[str, Any]:
    return {model._meta.label_lower: page for model, page in admin.site._registry.items()}


def _page(label: str) -> Any:
    page = _pages().get(label.lower())
    if page is None:
        raise CommandError(
            f"there is no table {label!r}; there are: {', '.join(sorted(_pages()))}", returncode=2
        )
    return page


def _of(page: Any, rows: QuerySet[Any], code: str | None) -> QuerySet[Any]:
    if code is None:
        return rows
    institution = Institution.objects.filter(code=code).first()
    if institution is None:
        known = ", ".join(Institution.objects.values_list("code", flat=True).order_by("code"))
        raise CommandError(f"there is no institution {code!r}; there are: {known}", returncode=2)
    if getattr(page, "tenant", None) is None:
        raise CommandError(f"{page.opts.label_lower} belongs to no institution", returncode=2)
    return rows.filter(page.of_institution(institution.pk))


def _within(rows: QuerySet[Any], since: datetime | None, until: datetime | None) -> QuerySet[Any]:
    if since is None and until is None:
        return rows
    opts = rows.model._meta
    if isinstance(opts.pk, UUIDField):
        bounds: dict[str, Any] = {"pk__gte": since and ids.floor(since), "pk__lt": until and ids.floor(until)}
    else:
        times = [field.name for field in opts.concrete_fields if isinstance(field, DateTimeField)]
        if not times:
            raise CommandError(f"{opts.label_lower} has no time for --from and --to", returncode=2)
        bounds = {f"{times[0]}__gte": since, f"{times[0]}__lt": until}
    return rows.filter(**{name: bound for name, bound in bounds.items() if bound is not None})


def _moment(text: str | None, name: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = (
            datetime.combine(date.fromisoformat(text), time())
            if len(text) == 10
            else datetime.fromisoformat(text)
        )
    except ValueError:
        raise CommandError(f"{name} {text}: give 2026-11-23 or 2026-11-23T08:00:00Z", returncode=2) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _everybody() -> HttpRequest:
    """A request as of a user who sees all: the shell does."""
    request = HttpRequest()
    request.user = User(is_superuser=True, is_staff=True)
    return request
