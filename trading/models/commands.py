"""The inbox: commands that are durable and not yet applied.

A placed order needs no row here, its own PENDING row says the same; when Redis is away it gets one, so that
the worker finds it. Cancels, amendments and halts always have one. A worker applies a command only while its
row is here, and deletes it in the settlement: that is what makes a command take effect once.
"""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.utils import timezone

from exchange.base import ids
from trading.models.fields import AmountField, LooseKey


class PendingCommand(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new)
    group = models.CharField(max_length=50)
    order_id = models.UUIDField(null=True, help_text="the order it is about, where there is one")
    kind = models.CharField(max_length=10)
    envelope = models.BinaryField(help_text="msgpack, see matching.codec")
    hold_account = LooseKey("trading.Account", null=True)
    held = AmountField(default=Decimal(0), help_text="what an amendment holds beyond its order's hold")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["order_id"], name="one_amendment_at_a_time", condition=models.Q(kind="Amend")
            ),
            models.UniqueConstraint(
                fields=["order_id"], name="one_trigger_at_a_time", condition=models.Q(kind="Trigger")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"
