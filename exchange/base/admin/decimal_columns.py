"""Decimals on admin pages as people write them: 0.2, and not with all 18 places of the column."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.functional import cached_property

from exchange.base.decimals import plain, plain_or_none

Column = str | Callable[[Any], str | None]


class PlainDecimalField(forms.DecimalField):
    def prepare_value(self, value: Any) -> Any:
        return plain(value) if isinstance(value, Decimal) else value


class FiguresAdmin:
    """Goes before ModelAdmin. What a form does not let change, `get_readonly_fields` names by `figures`."""

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return self.figures(super().get_list_display(request))  # type: ignore[misc]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        names = list(super().get_fields(request, obj))  # type: ignore[misc]
        if obj is not None and not self.has_change_permission(request, obj):  # type: ignore[attr-defined]
            return self.figures(names)
        fixed = self.get_readonly_fields(request, obj)  # type: ignore[attr-defined]
        return [
            figure if figure in fixed else name
            for name, figure in zip(names, self.figures(names), strict=True)
        ]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if isinstance(db_field, models.DecimalField):
            kwargs.setdefault("form_class", PlainDecimalField)
        return super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]

    def figures(self, names: Any) -> list[Any]:
        """Those names, with a column for each decimal that shows it plainly."""
        return [
            tuple(self.figures(name)) if isinstance(name, tuple) else self._columns.get(name, name)
            for name in names
        ]

    @cached_property
    def _columns(self) -> dict[str, Column]:
        fields = self.opts.concrete_fields  # type: ignore[attr-defined]
        return {field.name: _column(field) for field in fields if isinstance(field, models.DecimalField)}


def _column(field: models.DecimalField[Any, Any]) -> Column:
    @admin.display(description=field.verbose_name, ordering=field.name, empty_value="-")
    def column(row: Any) -> str | None:
        value = getattr(row, field.name)
        return plain_or_none(value)

    return column
