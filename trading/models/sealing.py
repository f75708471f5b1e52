"""Seals over the ledger: what was written and is edited later, with the triggers off, is found."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class LedgerSeal(models.Model):
    """A slice of the ledger's transactions in a chain; append-only. See `trading.ledger.seal`.

    `entries` has 32 bytes for each transaction: its id, and a digest of all its rows.
    """

    number = models.BigIntegerField(primary_key=True)
    first = models.UUIDField()
    last = models.UUIDField()
    transactions = models.IntegerField()
    entries = models.BinaryField()
    before = models.BinaryField()
    hash = models.BinaryField()
    sealed_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["first"], name="ledger_seal_first")]

    def __str__(self) -> str:
        return str(self.number)


class LedgerUnsealed(models.Model):
    """The transactions of one statement, which no seal has yet: written by a trigger."""

    id = models.BigAutoField(primary_key=True)
    ids = ArrayField(models.UUIDField())
    noted_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return str(self.id)
