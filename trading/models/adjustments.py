"""Which approval allows which ledger transaction of kind ADJUSTMENT.

Append-only. The database (`migrations/sql/adjustments.sql`) commits such a transaction only with a row here whose
approval was given, and whose postings are exactly what was approved.
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from trading.models.fields import AmountField


class Adjustment(models.Model):
    transaction_id = models.UUIDField(
        primary_key=True, editable=False, help_text="the ledger transaction's id"
    )
    approval = models.OneToOneField("approvals.Approval", on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey("trading.Account", on_delete=models.PROTECT, related_name="+")
    contra = models.ForeignKey("trading.Account", on_delete=models.PROTECT, related_name="+")
    amount = AmountField(help_text="added to the account, or taken from it if below zero")
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.amount:+f} {self.account_id}"
