"""Markets that went from one symbol group to another."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from exchange.base import ids
from matching.models import SymbolGroup
from trading.models.instruments import Instrument


class Move(models.Model):
    """What `trading.markets.move` did, and what lets the database accept it: an instrument changes its group in the
    transaction of its move alone, and a move needs both journals' word. Append-only.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="moves")
    from_group = models.ForeignKey(SymbolGroup, on_delete=models.PROTECT, related_name="+")
    to_group = models.ForeignKey(SymbolGroup, on_delete=models.PROTECT, related_name="+")
    released = models.BigIntegerField(help_text="sequence of the Release in the journal of the group it left")
    adopted = models.BigIntegerField(help_text="sequence of the Adopt in the journal of its new group")
    reason = models.CharField(max_length=200)
    by = models.CharField(max_length=254, help_text="who moved it")
    trace_id = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.from_group_id} → {self.to_group_id}"
