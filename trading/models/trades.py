"""Trades: immutable, one row a fill. Partitioned by day on the id."""

from __future__ import annotations

from django.db import models
from django.db.models import F

from exchange.base import ids
from trading.models.fields import AmountField, LooseKey


class Trade(models.Model):
    """`number` is contiguous per instrument; its unique index is per partition (see `trading.models.partitions`)."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    number = models.BigIntegerField()
    instrument = LooseKey("trading.Instrument")
    price = AmountField()
    quantity = AmountField()
    buyer_order = LooseKey("trading.Order")
    seller_order = LooseKey("trading.Order")
    buyer = LooseKey("members.User")
    seller = LooseKey("members.User")
    is_buyer_maker = models.BooleanField()
    buyer_fee = AmountField(help_text="in the base asset")
    seller_fee = AmountField(help_text="in the quote asset")
    executed_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(F("buyer"), F("id").desc(), name="trade_buyer"),
            models.Index(F("seller"), F("id").desc(), name="trade_seller"),
        ]

    def __str__(self) -> str:
        return f"{self.instrument_id} #{self.number}"
