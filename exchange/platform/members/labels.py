"""What the back office calls an app, a model, a field and a choice, in the language of the user who looks.

Models say it in English, most by the name of the field alone. Here each such text becomes one that is looked up in the
catalogue when it is shown, which asks for no migration: those know texts as they were written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Field, Model
from django.utils.choices import CallableChoiceIterator
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

OURS = ("exchange", "matching", "marketdata", "risk", "trading")


def ours(model: type[Model]) -> bool:
    return model.__module__.partition(".")[0] in OURS


def translate(models: Iterable[type[Model]]) -> None:
    """Before forms are made of them."""
    for model in filter(ours, models):
        meta = model._meta
        meta.app_config.verbose_name = _lazy(meta.app_config.verbose_name)
        if not isinstance(meta.verbose_name, Promise):
            plural = str(meta.verbose_name_plural)  # while it is the English one
            meta.verbose_name, meta.verbose_name_plural = _lazy(meta.verbose_name), _lazy(plural)
        for field in meta.local_concrete_fields:
            _translate(field)


def _translate(field: Field[Any, Any]) -> None:
    field.verbose_name, field.help_text = _lazy(field.verbose_name), _lazy(field.help_text)
    # A function gives its own lazy texts, and stays: a migration names it and not what it returns.
    if field.choices and not isinstance(field.choices, CallableChoiceIterator):
        field.choices = [(value, _lazy(label)) for value, label in field.choices]


def _lazy(text: Any) -> Any:
    return text if isinstance(text, Promise) or not text else gettext_lazy(text)
