"""Field types shared by the trading models."""

from __future__ import annotations

from typing import Any

from django.db import models


class AmountField(models.DecimalField):
    """An exact decimal with room for 18 places, as `numeric`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 36)
        kwargs.setdefault("decimal_places", 18)
        super().__init__(*args, **kwargs)


class LooseKey(models.ForeignKey):
    """A foreign key of a hot table: no constraint and no index of its own.

    PostgreSQL checks a foreign key row by row at insert, which costs more than the insert. What these point
    to is never deleted (PROTECT where Django sees it), and `verify` looks for rows that point nowhere.
    """

    def __init__(self, to: Any, **kwargs: Any) -> None:
        kwargs |= {"on_delete": models.DO_NOTHING, "db_constraint": False, "db_index": False}
        kwargs.setdefault("related_name", "+")
        super().__init__(to, **kwargs)
