"""Loose keys (`trading.models.fields`): what PostgreSQL does not check when a row is written."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db.models import Model

from trading.models.fields import LooseKey
from trading.verify.check import Check, Rule


def checks() -> list[Check]:
    """One for each model with loose keys, in whatever app."""
    found = []
    for model in apps.get_models():
        keys = [field for field in model._meta.local_fields if isinstance(field, LooseKey)]
        if keys:
            found.append(_check(model, keys))
    return found


def _check(model: type[Model], keys: list[Any]) -> Check:
    """A row is named by its primary key, which may have several columns."""
    meta = model._meta
    row = ", ".join(f"source.{field.column}" for field in meta.pk_fields)
    joins, cases = [], []
    for key in keys:
        target, column, alias = key.related_model._meta, f"source.{key.column}", f"target_{key.name}"
        found = f"{alias}.{target.pk.column}"
        joins.append(f"LEFT JOIN {target.db_table} {alias} ON {found} = {column}")
        says = f"'{meta.verbose_name} %s: {key.name} %s is not there', concat_ws(' ', {row}), {column}"
        cases.append(f"WHEN {column} IS NOT NULL AND {found} IS NULL THEN format({says})")
    things, names = str(meta.verbose_name_plural), ", ".join(key.name for key in keys)
    rule = Rule(f"{meta.model_name}_references", 0, f"what {things} point to is there ({names})", things)
    rows = f"SELECT CASE {' '.join(cases)} END AS breach FROM {meta.db_table} source {' '.join(joins)}"
    return Check(rule, rows)
