"""What a matching worker keeps in PostgreSQL: its group, its checkpoint and its journal."""

from __future__ import annotations

from django.db import models


class SymbolGroup(models.Model):
    """Instruments that one worker matches. Instruments without a group are spread over all groups."""

    name = models.SlugField(primary_key=True)

    def __str__(self) -> str:
        return self.name


class Checkpoint(models.Model):
    """How far a group's worker has come. Written in every settlement, under the epoch of the worker that owns
    it."""

    group = models.OneToOneField(SymbolGroup, on_delete=models.PROTECT, primary_key=True)
    epoch = models.BigIntegerField(default=0, help_text="raised by each worker that takes over")
    sequence = models.BigIntegerField(default=0, help_text="commands applied so far")
    position = models.CharField(max_length=40, default="0-0", help_text="last stream entry applied")
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.group_id} {self.sequence}"


class JournalBatch(models.Model):
    """The commands of one settlement, packed, in the order in which they were applied.

    The database refuses a batch that does not follow the one before it without a gap, or that comes from an
    older epoch.
    """

    id = models.BigAutoField(primary_key=True)
    group = models.ForeignKey(SymbolGroup, on_delete=models.PROTECT, db_index=False)
    epoch = models.BigIntegerField()
    first_sequence = models.BigIntegerField()
    last_sequence = models.BigIntegerField()
    commands = models.BinaryField(help_text="msgpack list of envelopes, see matching.codec")
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "journal batches"
        constraints = [
            models.UniqueConstraint(fields=["group", "first_sequence"], name="journal_sequence_once"),
            models.CheckConstraint(
                condition=models.Q(last_sequence__gte=models.F("first_sequence")),
                name="journal_range_not_empty",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.group_id} {self.first_sequence}-{self.last_sequence}"
