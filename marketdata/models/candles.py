"""Candles, how far trades have been counted into them, and the depth of books by the minute.

`marketdata.candles.aggregate` and `marketdata.orderbook.depth_snapshots` are the only writers.
"""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q

from marketdata.models.fields import PriceField, VolumeField


class Interval(models.TextChoices):
    """What a candle spans. All are aligned to UTC: 4h starts at 0, 4, 8 … o'clock, 1d at midnight."""

    M1 = "1m", "1 minute"
    M5 = "5m", "5 minutes"
    M15 = "15m", "15 minutes"
    H1 = "1h", "1 hour"
    H4 = "4h", "4 hours"
    D1 = "1d", "1 day"


class Candle(models.Model):
    """The trades of one interval. There is none for an interval without trades.

    `open` is the price of the trade with the lowest number, `close` of the one with the highest.
    """

    id = models.BigAutoField(primary_key=True)
    instrument = models.ForeignKey(
        "trading.Instrument", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    interval = models.CharField(max_length=3, choices=Interval.choices)
    start = models.DateTimeField()
    open = PriceField()
    high = PriceField()
    low = PriceField()
    close = PriceField()
    volume = VolumeField(help_text="in the base asset")
    quote_volume = VolumeField(help_text="in the quote asset")
    trades = models.BigIntegerField()
    first_number = models.BigIntegerField(help_text="the lowest number of its trades")
    last_number = models.BigIntegerField(help_text="the highest")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instrument", "interval", "start"], name="one_candle"),
            models.CheckConstraint(
                condition=Q(
                    low__gt=0,
                    low__lte=F("open"),
                    high__gte=F("open"),
                    volume__gt=0,
                    trades__gt=0,
                    first_number__lte=F("last_number"),
                )
                & Q(low__lte=F("close"), high__gte=F("close")),
                name="candle_is_sound",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.interval} {self.start:%Y-%m-%dT%H:%MZ}"


class CandleCursor(models.Model):
    """How far an instrument's trades are counted: those up to `number` are in its candles, no others."""

    instrument = models.OneToOneField(
        "trading.Instrument", on_delete=models.PROTECT, related_name="+", primary_key=True
    )
    number = models.BigIntegerField(default=0)
    price = PriceField(null=True, help_text="of that trade")
    checked_at = models.DateTimeField(help_text="when there was no trade beyond it")

    def __str__(self) -> str:
        return f"{self.instrument_id} #{self.number}"


class DepthSnapshot(models.Model):
    """The best levels of a book at a whole minute, as [price, quantity] texts, best first."""

    id = models.BigAutoField(primary_key=True)
    instrument = models.ForeignKey(
        "trading.Instrument", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    taken_at = models.DateTimeField()
    sequence = models.BigIntegerField(null=True, help_text="of the book's group; empty: added up from orders")
    bids = models.JSONField()
    asks = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["instrument", "taken_at"], name="one_depth_snapshot")]
        indexes = [BrinIndex(fields=["taken_at"], name="depth_taken_at")]

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.taken_at:%Y-%m-%dT%H:%MZ}"
