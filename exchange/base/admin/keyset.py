"""Lists of the admin that stay fast however long they get.

A page begins where the one before it ended: `WHERE id < last ORDER BY id DESC LIMIT 51`, one look into an index, where
OFFSET would read and throw away all that stands before it. So pages stay the same while rows come in, and nothing is
counted. What there is no index for is looked through from the newest row on, for `PATIENCE` at most.

`KeysetAdmin` goes before ModelAdmin. A list whose `ordering` is one unique field is paged so; its columns sort nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import psycopg
from django.contrib import messages
from django.contrib.admin.views.main import PAGE_VAR
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.core.paginator import Paginator
from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from unfold.views import ChangeList

PATIENCE = 5.0  # seconds

T = TypeVar("T")


class TooSlow(Exception):
    """The database was stopped before it had looked through all that a question needs."""


def bounded(read: Callable[[], T], seconds: float | None = None) -> T:
    """What `read` returns, if the database needs no longer than that for each statement; else raises TooSlow."""
    limit = PATIENCE if seconds is None else seconds
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(int(limit * 1000))])
            found = read()
            cursor.execute("SET LOCAL statement_timeout TO DEFAULT")  # where an outer transaction goes on
            return found
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            raise TooSlow(f"stopped after {limit:g} s") from error
        raise


class Keys:
    """The order of a list: by one unique field, up or down."""

    def __init__(self, ordering: str) -> None:
        self.field, self.descending = ordering.removeprefix("-"), ordering.startswith("-")

    @property
    def ordering(self) -> str:
        return f"-{self.field}" if self.descending else self.field

    def beyond(self, rows: QuerySet[Any], key: Any, *, forward: bool = True) -> QuerySet[Any]:
        """The rows after that key, or before it. Raises ValidationError or ValueError for what is no key."""
        below = self.descending == forward
        return rows.filter(**{f"{self.field}__{'lt' if below else 'gt'}": key})

    def of(self, row: Any) -> str:
        return str(getattr(row, self.field))

    def walk(self, rows: QuerySet[Any], at_once: int = 1000) -> Iterator[Any]:
        """All rows, a piece at a time: none is held for longer, and no transaction stays open."""
        rows = rows.order_by(self.ordering)
        piece = list(rows[:at_once])
        while piece:
            yield from piece
            if len(piece) < at_once:
                return
            piece = list(self.beyond(rows, getattr(piece[-1], self.field))[:at_once])


class KeysetPaginator(Paginator):
    """What templates ask of a paginator. The pages are made by `KeysetList`."""

    template_name = "admin/keyset.html"

    @cached_property
    def count(self) -> int:
        return len(self.object_list)  # of this page: nothing else is known


class KeysetList(ChangeList):
    """`p` of an address is where its page begins: `after~KEY` or `before~KEY`."""

    keys: Keys
    newer: str | None = None
    older: str | None = None
    first: str | None = None

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str]:
        self.keys = Keys((self.model_admin.get_ordering(request) or ["-pk"])[0])
        return [self.keys.ordering]

    def get_results(self, request: HttpRequest) -> None:
        way, _tilde, key = request.GET.get(PAGE_VAR, "").partition("~")
        try:
            page = bounded(lambda: self._page(way, key))
        except TooSlow:
            page = []
            messages.warning(
                request,
                _("Looking through all rows takes too long here. Choose a time, a user or an id as well."),
            )
        self.result_list = page
        self.result_count = len(page)
        self.full_result_count, self.show_full_result_count = (
            len(page),
            False,
        )  # so that no page names a number
        self.show_admin_actions = bool(page)
        self.can_show_all, self.multi_page = False, False
        self.first = self.get_query_string() if way else None
        self.paginator = KeysetPaginator(page, self.list_per_page)

    def _page(self, way: str, key: str) -> list[Any]:
        size = self.list_per_page
        if way == "before" and key:
            rows = self._from(key, forward=False)
            page = list(rows.reverse()[: size + 1]) if rows is not None else []
            if len(page) > size:
                page = page[size - 1 :: -1]
                self._link(page, newer=True, older=True)
                return page
            way = ""  # there is no whole page before it, so it is the first one
        rows = self._from(key, forward=True) if way == "after" and key else None
        page = list((self.queryset if rows is None else rows)[: size + 1])
        self._link(page[:size], newer=rows is not None, older=len(page) > size)
        return page[:size]

    def _from(self, key: str, *, forward: bool) -> QuerySet[Any] | None:
        try:
            return self.keys.beyond(self.queryset, key, forward=forward)
        except (ValidationError, ValueError, TypeError):
            return None  # an address that was made up

    def _link(self, page: list[Any], *, newer: bool, older: bool) -> None:
        if page and newer:
            self.newer = self.get_query_string({PAGE_VAR: f"before~{self.keys.of(page[0])}"})
        if page and older:
            self.older = self.get_query_string({PAGE_VAR: f"after~{self.keys.of(page[-1])}"})


class KeysetAdmin:
    """For ModelAdmins of long tables. Those in another order than by one unique field have pages by number, and are not
    counted either."""

    show_full_result_count = False
    list_per_page = 50

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetList if self._by_key(request) else super().get_changelist(request, **kwargs)  # type: ignore[misc]

    def get_sortable_by(self, request: HttpRequest) -> Any:
        return () if self._by_key(request) else super().get_sortable_by(request)  # type: ignore[misc]

    def _by_key(self, request: HttpRequest) -> bool:
        ordering = self.get_ordering(request) or ["-pk"]  # type: ignore[attr-defined]
        return (
            len(ordering) == 1
            and isinstance(ordering[0], str)
            and self._unique(ordering[0].removeprefix("-"))
        )

    def _unique(self, name: str) -> bool:
        opts = self.opts  # type: ignore[attr-defined]
        if name == "pk":
            return True
        try:
            field = opts.get_field(name)
        except FieldDoesNotExist:
            return False
        return bool(field.unique and not field.null)
