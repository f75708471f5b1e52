"""Field types of market data: exact decimals, with room for what a market adds up in a day."""

from __future__ import annotations

from typing import Any

from django.db import models


class PriceField(models.DecimalField):
    """A price, as exact as a trade's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 36)
        kwargs.setdefault("decimal_places", 18)
        super().__init__(*args, **kwargs)


class VolumeField(models.DecimalField):
    """A sum of many quantities or amounts: twelve digits more than one of them may have."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 48)
        kwargs.setdefault("decimal_places", 18)
        super().__init__(*args, **kwargs)
