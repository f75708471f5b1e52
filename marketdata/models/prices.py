"""The latest price of each instrument. `marketdata.prices` is the only writer."""

from __future__ import annotations

from enum import StrEnum

from django.db import models
from django.db.models import Q

from marketdata.models.fields import PriceField


class Source(StrEnum):
    """Of a price, best first."""

    BINANCE_WS = "BINANCE_WS"
    BINANCE_REST = "BINANCE_REST"
    LAST_TRADE = "LAST_TRADE"

    @property
    def outside(self) -> bool:
        return self is not Source.LAST_TRADE


class Price(models.Model):
    """As it was published last. While the process that writes it is down, nothing here grows stale by itself."""

    instrument = models.OneToOneField(
        "trading.Instrument", on_delete=models.PROTECT, related_name="+", primary_key=True
    )
    price = PriceField()
    source = models.CharField(max_length=12, choices=[(source.value, source.value) for source in Source])
    stale = models.BooleanField(help_text="nobody vouched for it any more")
    priced_at = models.DateTimeField(help_text="when it was heard, or traded")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(price__gt=0), name="price_is_positive")]

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.price:f}"
